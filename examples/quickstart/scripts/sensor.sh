#!/bin/sh
# Measure the way to the web guest: small packets, then one of full size.
set -eu

server=$(/etc/nocloud/env.sh SERVER)
echo "Addresses of $(hostname):"
ip -4 addr show | sed -n 's/^ *inet \([^ ]*\).* \([^ ]*\)$/  \2 \1/p'

tries=0
until /usr/bin/ping -c 1 -W 2 "$server" > /dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge 30 ]; then
        echo "$server does not answer." >&2
        exit 1
    fi
    sleep 1
done
/usr/bin/ping -c 3 "$server"
/usr/bin/ping -c 1 -s 1300 "$server"
