#!/bin/sh
# Serve a page on port 80.
set -eu

mkdir -p /var/www
echo "Hello from $(hostname)" > /var/www/index.html
busybox httpd -p 80 -h /var/www
