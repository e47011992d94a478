# shellcheck shell=bash
# Redis, libvirtd and Open vSwitch: running when these functions return. Sourced after
# common.sh. What is started here, and not by the system, is noted as a pid file in the
# state directory, so that stop_started_daemons ends that and nothing else.

has_systemd() { [[ -d /run/systemd/system ]]; }

# wait_until SECONDS COMMAND...
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.1
  done
}

# note_daemon STATE_DIR NAME PID: /proc's start time tells it from a later process.
note_daemon() {
  printf '%s %s\n' "$3" "$(start_time_of "$3")" > "$1/$2.pid"
}

# The name in field two may hold blanks; counting starts behind its bracket.
start_time_of() { sed 's/.*) //' "/proc/$1/stat" 2> /dev/null | cut -d' ' -f20; }

# Bridges that somebody uses: those of an earlier lab come back with the database, but
# nobody brings them up.
bridges_in_use() {
  local bridge
  for bridge in $(ovs-vsctl --timeout=5 list-br 2> /dev/null); do
    [[ -z $(ip -o link show dev "$bridge" up 2> /dev/null) ]] || printf '%s\n' "$bridge"
  done
}

# Ends what was started from this state directory, the last first. A daemon that
# somebody else's guests or bridges depend on by now is left alone, and named.
stop_started_daemons() {
  local path name pid born guests='' bridges='' users
  guests=$(timeout 10 virsh -q -c qemu:///system list --name 2> /dev/null) || true
  bridges=$(bridges_in_use)
  for path in "$1"/{libvirtd,virtlogd,ovs-vswitchd,ovsdb-server,redis}.pid; do
    [[ -f $path ]] || continue
    name=$(basename "$path" .pid)
    case $name in
      libvirtd | virtlogd) users=${guests//[[:space:]]/ } ;;
      ovs*) users=${bridges//[[:space:]]/ } ;;
      *) users='' ;;
    esac
    if [[ -n ${users// /} ]]; then
      warn "$name is left running, it is in use: $users"
      continue
    fi
    read -r pid born < "$path"
    if [[ -n $born && $(start_time_of "$pid") == "$born" ]]; then
      kill "$pid" 2> /dev/null || true
      wait_until 10 daemon_is_gone "$pid" || kill -9 "$pid" 2> /dev/null || true
    fi
    rm -f "$path"
  done
}

daemon_is_gone() { [[ ! -e /proc/$1/exe ]]; }

# ensure_redis PORT_OR_SOCKET DIR: a Redis of our own, that keeps its queue over a
# restart. The system's Redis is not touched. Its state directory is DIR.
ensure_redis() {
  local where=$1 dir=$2 place client
  if [[ $where == /* ]]; then
    place=(--port 0 --unixsocket "$where" --unixsocketperm 700)
    client=(-s "$where")
  else
    place=(--port "$where" --bind 127.0.0.1)
    client=(-h 127.0.0.1 -p "$where")
  fi
  redis-cli "${client[@]}" ping 2> /dev/null | grep -qx PONG && return
  mkdir -p "$dir/redis"
  setsid redis-server "${place[@]}" --dir "$dir/redis" --appendonly yes --save '' \
    --logfile "$dir/redis/redis.log" < /dev/null > /dev/null 2>&1 3>&- 9>&- &
  note_daemon "$dir" redis "$!"
  wait_until 60 redis-cli "${client[@]}" ping ||
    fail "Redis did not start on $where." "See $dir/redis/redis.log."
}

libvirt_answers() { timeout 10 virsh -q -c qemu:///system uri; }

# ensure_libvirtd STATE_DIR
ensure_libvirtd() {
  local dir=$1
  mend_kvm
  libvirt_answers > /dev/null 2>&1 && return
  mkdir -p "$dir"
  if has_systemd; then
    systemctl start libvirtd.socket libvirtd.service
  else
    mkdir -p /run/libvirt
    start_libvirt_daemon "$dir" virtlogd
    start_libvirt_daemon "$dir" libvirtd
  fi
  wait_until 60 libvirt_answers ||
    fail "libvirtd does not answer on qemu:///system." "See /var/log/libvirt or run libvirtd by hand."
}

start_libvirt_daemon() {
  local dir=$1 daemon=$2
  pid_alive "/run/$daemon.pid" && return
  "$daemon" -d < /dev/null 3>&- 9>&-
  wait_until 60 pid_alive "/run/$daemon.pid" || fail "$daemon did not start."
  note_daemon "$dir" "$daemon" "$(cat "/run/$daemon.pid")"
}

pid_alive() { [[ -s $1 && -e /proc/$(< "$1")/exe ]]; }

# Without udev /dev/kvm is root's alone and each definition of a guest takes 48 s,
# because libvirt probes QEMU again and again.
mend_kvm() {
  [[ -c /dev/kvm ]] || return 0
  [[ $(stat -c '%G %a' /dev/kvm) == 'kvm 66'* ]] && return
  chgrp kvm /dev/kvm 2> /dev/null && chmod 660 /dev/kvm 2> /dev/null && return
  warn "QEMU's group kvm cannot open /dev/kvm: each definition of a guest takes 48 s."
  warn "  Run as root: groupadd -f kvm; chgrp kvm /dev/kvm; chmod 660 /dev/kvm"
}

switch_answers() {
  ovs-vsctl --timeout=5 show && ovs-appctl --timeout=5 -t ovs-vswitchd version
}

# ensure_openvswitch STATE_DIR
ensure_openvswitch() {
  local dir=$1 daemon
  switch_answers > /dev/null 2>&1 && return
  mkdir -p "$dir"
  if has_systemd; then
    systemctl start openvswitch-switch
  else
    /usr/share/openvswitch/scripts/ovs-ctl start --no-monitor --no-mlockall \
      --system-id="$(hostname)" > "$dir/openvswitch.log" 2>&1 3>&- 9>&- || true
    for daemon in ovsdb-server ovs-vswitchd; do
      if pid_alive "/run/openvswitch/$daemon.pid"; then
        note_daemon "$dir" "$daemon" "$(< "/run/openvswitch/$daemon.pid")"
      fi
    done
  fi
  wait_until 60 switch_answers ||
    fail "Open vSwitch does not answer." "See $dir/openvswitch.log and /var/log/openvswitch."
}

# attach_underlay BRIDGE INTERFACE ADDRESS/PREFIX: tunnels of the userspace datapath
# need their address on a bridge that has the wire as a port. Each lab its own bridge.
attach_underlay() {
  ovs-vsctl --may-exist add-br "$1" -- set bridge "$1" datapath_type=netdev \
    -- --may-exist add-port "$1" "$2"
  ip link set "$1" mtu 9000 up
  ip address replace "$3" dev "$1"
  ethtool -K "$1" tx off > /dev/null
}

detach_underlay() { ovs-vsctl --if-exists del-br "$1"; }

# One line for each thing without which this machine cannot run real guests.
missing_capabilities() {
  [[ $EUID -eq 0 ]] || { echo "root: this is not run as root (use sudo)"; return; }
  [[ -c /dev/net/tun ]] || mend_tun || echo "/dev/net/tun: no tun device; guests get no network"
  if [[ -c /dev/net/tun ]] && ! { : <> /dev/net/tun; } 2> /dev/null; then
    echo "/dev/net/tun: exists but cannot be opened"
  fi
  unshare --net true 2> /dev/null || echo "network namespaces: cannot be made"
  unshare --mount true 2> /dev/null || echo "mount namespaces: cannot be made"
  unshare --net ip link add probe0 type veth peer name probe1 2> /dev/null ||
    echo "veth: pairs of virtual cables cannot be made"
  ! command -v nft > /dev/null || unshare --net nft add table inet probe 2> /dev/null ||
    echo "nftables: the kernel takes no table; hosts would not be guarded from guests"
  [[ $(uname -m) == x86_64 ]] || echo "x86-64: the test guest image is for this processor only"
}

# In a container without udev the node may be missing though the driver is there.
mend_tun() {
  mkdir -p /dev/net
  mknod /dev/net/tun c 10 200 2> /dev/null && { : <> /dev/net/tun; } 2> /dev/null && return
  rm -f /dev/net/tun
  return 1
}
