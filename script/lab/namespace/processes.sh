# shellcheck shell=bash
# The processes of one namespace host. A holder keeps the namespaces alive; all that
# runs on the host is in its network namespace and is found there.

SIGNALS=(TERM KILL)
# Tenths of a second. Who was killed dies when his disk or his memory lets go of him.
declare -A TRIES=([TERM]=50 [KILL]=600)

# The holder's pid, when it lives and is really this host's.
holder_of() {
  local pid
  pid=$(cat "$2/holder.pid" 2> /dev/null) || return 1
  [[ $(ip netns identify "$pid" 2> /dev/null) == "$1" ]] || return 1
  printf '%s\n' "$pid"
}

start_holder() {
  local name=$1 dir=$2
  rm -f "$dir/holder.pid"
  # The caller's locks and pipes must not live on in daemons.
  setsid ip netns exec "$name" unshare -m --propagation private \
    bash "$LAB/namespace/boot" "$name" "$dir" \
    < /dev/null > "$dir/start.log" 2>&1 3>&- 9>&- &
}

on_host() {
  local name=$1 dir=$2 holder
  shift 2
  holder=$(holder_of "$name" "$dir") || return 1
  timeout 30 nsenter -t "$holder" -m -n -- "$@" > /dev/null 2>&1
}

sshd_answers() {
  # shellcheck disable=SC2016
  on_host "$1" "$2" bash -c \
    'exec 3<> "/dev/tcp/$1/22" && read -r -t 15 banner <&3 && [[ $banner == SSH-* ]]' \
    bash "$(cut -d/ -f1 "$2/address")"
}

libvirtd_answers() { on_host "$1" "$2" virsh -q -c qemu:///system uri; }

switch_answers() {
  on_host "$1" "$2" ovs-vsctl --timeout=15 br-exists br-phy &&
    on_host "$1" "$2" ovs-appctl --timeout=15 version
}

answers() {
  local part
  for part in sshd libvirtd switch; do
    "${part}_answers" "$1" "$2" || { printf '%s\n' "$part"; return 1; }
  done
}

wait_until_it_answers() {
  local name=$1 dir=$2 silent deadline=$((SECONDS + START_TIMEOUT_S))
  until [[ -f $dir/run/booted ]] && silent=$(answers "$name" "$dir"); do
    if ((SECONDS > deadline)); then
      warn "$(tail -n 20 "$dir/start.log")"
      fail "Host $name did not start in ${START_TIMEOUT_S} s: ${silent:-its boot} does not answer." \
        "Logs are in $dir/start.log and $dir/log."
    fi
    if [[ -f $dir/run/failed ]]; then
      warn "$(tail -n 20 "$dir/start.log")"
      fail "Host $name did not start: $(< "$dir/run/failed") failed." "See $dir/start.log."
    fi
    sleep 0.1
  done
}

# Ends a daemon with its children that serve its connections: they have its name, or,
# since OpenSSH 9.8, one that begins with it (sshd-session).
end_daemon() {
  local name=$1 daemon=$2 signal tries pids
  for signal in "${SIGNALS[@]}"; do
    for ((tries = 0; tries < TRIES[$signal]; tries++)); do
      mapfile -t pids < <(pids_called "$name" "$daemon")
      ((${#pids[@]})) || return 0
      ((tries)) || kill -s "$signal" "${pids[@]}" 2> /dev/null || true
      sleep 0.1
    done
  done
  fail "$daemon of host $name does not end: ${pids[*]}"
}

pids_called() {
  local pid called
  for pid in $(ip netns pids "$1"); do
    called=$(cat "/proc/$pid/comm" 2> /dev/null) || continue
    [[ $called != "$2" && $called != "$2"-* ]] || printf '%s\n' "$pid"
  done
}

# Ends whatever is in the host's network, politely first.
end_processes() {
  local name=$1 signal tries pids
  [[ -e /run/netns/$name ]] || return 0
  for signal in "${SIGNALS[@]}"; do
    for ((tries = 0; tries < TRIES[$signal]; tries++)); do
      mapfile -t pids < <(ip netns pids "$name")
      ((${#pids[@]})) || return 0
      ((tries)) || kill -s "$signal" "${pids[@]}" 2> /dev/null || true
      sleep 0.1
    done
  done
  fail "Processes of host $name do not end: ${pids[*]}"
}
