#!/bin/sh
# The floor of `script/bench up`: the same guests without any testbed, all at once.
#
#   floor.sh LIST SCRIPT KEY     a line of LIST: login known-hosts domain image format
#                                disk xml report, blanks between; prints milliseconds
#
# Networks, bridges, domain XML and seeds are there already. Ends when SCRIPT has run
# in every guest. Each reports its host key. A line without a domain names a guest that a peer makes meanwhile.
set -u

login() {
  ssh -n -i "$key" -o BatchMode=yes -o ConnectTimeout=1 -o LogLevel=ERROR \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$known_hosts" "$login" "$@"
}

make_guest() {
  qemu-img create -q -f qcow2 -F "$format" -b "$image" "$disk" || return
  virsh -q -c qemu:///system define "$xml" || return
  virsh -q -c qemu:///system start "$domain" || return
  until [ -s "$report" ]; do sleep 0.1; done
  echo "${login#*@} $(cat "$report")" > "$known_hosts"
}

bring_up() {
  [ -z "$domain" ] || make_guest || return
  until login true 2> /dev/null; do sleep 0.3; done
  encoded=$(base64 -w 0 "$script")
  login "echo $encoded | base64 -d > /tmp/setup && sudo -n sh /tmp/setup"
}

list=$1 script=$2 key=$3 failed=0 pids=''
began=$(date +%s%N)
while read -r login known_hosts domain image format disk xml report; do
  bring_up > /dev/null &
  pids="$pids $!"
done < "$list"
for pid in $pids; do wait "$pid" || failed=1; done
echo $((($(date +%s%N) - began) / 1000000))
exit "$failed"
