#!/bin/bash
# Serve a page with what the image already has.
set -euo pipefail

mkdir -p /srv/www
printf '<h1>%s</h1>\n' "$(/etc/nocloud/env.sh TITLE)" > /srv/www/index.html
if ! systemctl is-active --quiet testbed-www; then
    systemd-run --unit testbed-www python3 -m http.server 80 --directory /srv/www
fi
echo "Serving on port 80."
df -h /
