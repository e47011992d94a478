#!/bin/sh
# The floor of `script/bench up`: the same guests without any testbed, all at once.
#
#   floor.sh LIST SCRIPT KEY     a line of LIST: domain image format disk xml login
#                                known-hosts, blanks between them; prints the milliseconds
#
# Networks, bridges, domain XML and seeds are there already. Ends when SCRIPT has run
# in every guest.
set -u

login() {
  ssh -n -i "$key" -o BatchMode=yes -o ConnectTimeout=1 -o LogLevel=ERROR \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$known_hosts" "$login" "$@"
}

bring_up() {
  qemu-img create -q -f qcow2 -F "$format" -b "$image" "$disk" || return
  virsh -q -c qemu:///system define "$xml" || return
  virsh -q -c qemu:///system start "$domain" || return
  until login true 2> /dev/null; do sleep 0.3; done
  encoded=$(base64 -w 0 "$script")
  login "echo $encoded | base64 -d > /tmp/setup && sudo -n sh /tmp/setup"
}

list=$1 script=$2 key=$3 failed=0 pids=''
began=$(date +%s%N)
while read -r domain image format disk xml login known_hosts; do
  bring_up > /dev/null &
  pids="$pids $!"
done < "$list"
for pid in $pids; do wait "$pid" || failed=1; done
echo $((($(date +%s%N) - began) / 1000000))
exit "$failed"
