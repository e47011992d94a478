#!/bin/sh
# Fetch the page of the web guest by its name, through bridges and tunnel.
set -eu

server=$(/etc/nocloud/env.sh SERVER)
echo "Fetching http://$server/ from $(hostname)"

tries=0
until timeout 5 /usr/bin/wget -q -O /tmp/page.html "http://$server/"; do
    tries=$((tries + 1))
    if [ "$tries" -ge 30 ]; then
        echo "$server did not answer." >&2
        exit 1
    fi
    sleep 1
done
cat /tmp/page.html
