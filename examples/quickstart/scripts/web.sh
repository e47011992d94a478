#!/bin/sh
# Serve the page of the context folder. Runs again without harm.
set -eu

greeting=$(/etc/nocloud/env.sh GREETING)
page=/etc/nocloud/context/index.html

mkdir -p /var/www
sed -e "s/@GREETING@/$greeting/" -e "s/@HOSTNAME@/$(hostname)/" "$page" \
    > /var/www/index.html

if [ -f /run/web.pid ] && kill -0 "$(cat /run/web.pid)" 2>/dev/null; then
    echo "The web server runs already."
else
    busybox httpd -f -p 80 -h /var/www < /dev/null > /dev/null 2>&1 &
    echo $! > /run/web.pid
    echo "The web server is up on port 80."
fi
