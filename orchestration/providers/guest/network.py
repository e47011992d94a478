"""Changes the network inside a running guest as its seed would at its next boot.

The login uses the management interface, which is never touched. Guests with netplan
(the cloud images of Debian and Ubuntu) get the seed's own configuration. Others get
plain `ip`, and for DHCP the reserved address. Only addresses from the testbed are
removed: addresses that a user added to an interface stay.
"""

import json
from collections.abc import Iterable

from orchestration.errors import CommandFailed
from orchestration.providers.guest.cloud_init import (
    READY_FILE,
    build_network_config,
    default_holder,
    instance_id,
)
from orchestration.state.model import GuestState, InterfaceState
from orchestration.transport.base import Command, Scope, Transport, command

# An emulated guest under load needs seconds for a device, and netplan for its work.
TIMEOUT_S = 180.0

# $1 is netplan's configuration, $2 the guest's new instance id, $3 the file that holds
# it; each interface follows with 8 words: name, MAC, MTU, address/prefix, gateway, name
# server, and the address and the gateway that the testbed gave it before; "-" where
# there is none. Any POSIX shell, busybox too.
SCRIPT = """\
set -eu
export PATH="$PATH:/usr/sbin:/sbin"
config=$1 instance=$2 mark=$3
shift 3

each() {
  todo=$1
  shift
  while [ $# -ge 8 ]; do
    "$todo" "$1" "$2" "$3" "$4" "$5" "$6" "$7" "$8"
    shift 8
  done
}

find_device() {
  for path in /sys/class/net/*; do
    if [ -e "$path/device" ] && [ "$(cat "$path/address")" = "$1" ]; then
      device=${path##*/}
      return 0
    fi
  done
  return 1
}

wait_for_device() {
  tries=0
  until find_device "$2"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 30 ]; then
      echo "no interface with address $2 has appeared" >&2
      exit 3
    fi
    sleep 1
  done
}

# By way of names that nobody has: two interfaces may have to change places.
take_name_away() {
  find_device "$2"
  if [ "$device" != "$1" ]; then
    ip link set dev "$device" down
    ip link set dev "$device" name "tb-$1"
  fi
}

give_name() {
  find_device "$2"
  if [ "$device" != "$1" ]; then
    ip link set dev "$device" name "$1"
  fi
}

use_netplan() {
  umask 077
  printf '%s\\n' "$config" > /etc/netplan/50-cloud-init.yaml
  netplan apply
}

has() {
  case $(ip -o address show dev "$1") in *" $2/"*) return 0 ;; esac
  return 1
}

# Its last act would be to take the address away again.
stop_client() {
  clients="^([^ ]*/)?(udhcpc|dhclient|dhcpcd)( .*)? $1( |\\$)"
  command -v pkill > /dev/null && pkill -f "$clients" || return 0
  tries=0
  while pgrep -f "$clients" > /dev/null && [ "$tries" -lt 10 ]; do
    tries=$((tries + 1))
    sleep 1
  done
}

use_ip() {
  ip link set dev "$1" mtu "$3"
  ip link set dev "$1" up
  if [ "$4" != "$7" ]; then
    stop_client "$1"
    if [ "$7" != - ] && has "$1" "${7%/*}"; then
      ip address del "$7" dev "$1"
    fi
  fi
  if [ "$4" != - ] && ! has "$1" "${4%/*}"; then
    ip address add "$4" dev "$1"
  fi
}

use_route() {
  if [ "$8" != - ] && [ "$8" != "$5" ]; then
    ip "$(family "$8")" route del default via "$8" dev "$1" 2> /dev/null || :
  fi
  if [ "$5" != - ]; then
    ip "$(family "$5")" route replace default via "$5" dev "$1"
  fi
}

use_names() {
  if [ "$6" != - ] && ! grep -qs '^nameserver' /etc/resolv.conf; then
    echo "nameserver $6" >> /etc/resolv.conf || :
  fi
}

family() {
  case $1 in *:*) echo -6 ;; *) echo -4 ;; esac
}

wait_for_address() {
  tries=0
  until [ "$4" = - ] || has "$1" "${4%/*}"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 60 ]; then
      echo "$1 has not got its address ${4%/*}" >&2
      exit 4
    fi
    sleep 1
  done
}

each wait_for_device "$@"
if command -v udevadm > /dev/null; then
  udevadm settle --timeout=20 || :
fi
each take_name_away "$@"
each give_name "$@"
if command -v netplan > /dev/null && [ -d /etc/netplan ]; then
  use_netplan
else
  each use_ip "$@"
  each use_route "$@"
  each use_names "$@"
fi
each wait_for_address "$@"
printf '%s\\n' "$instance" > "$mark"
"""


def change_network(
    transport: Transport,
    guest: GuestState,
    before: Iterable[InterfaceState],
    *,
    scope: Scope,
) -> None:
    """Give a running guest's interfaces their names, addresses and routes.

    `before` is their previous state, as far as it is known. Returns when the addresses
    are set. Raises: CommandFailed, HostUnreachable, Cancelled.
    """
    cmd = network_command(guest, before)
    done = transport.run(cmd, scope=scope, timeout_s=TIMEOUT_S, check=False)
    if done.exit_code:
        raise CommandFailed(
            f"The network inside guest {guest.name} on {guest.host} could not be "
            "changed as it runs.",
            exit_code=done.exit_code,
            hint="Start up again to try once more; or shut the guest down before, "
            "then it boots with its new configuration.",
            detail=done.stderr[-2000:],
        )


def network_command(guest: GuestState, before: Iterable[InterfaceState]) -> Command:
    """Return the command that changes the network, as root."""
    known = {interface.name: interface for interface in before}
    config = {"network": json.loads(build_network_config(guest))}
    holder = default_holder(guest)
    words = [
        word
        for interface in guest.interfaces
        for word in _words(
            interface,
            known.get(interface.name),
            has_default=interface is holder,
        )
    ]
    first = (json.dumps(config), instance_id(guest), READY_FILE)
    cmd = command("sh", "-s", "--", *first, *words, stdin=SCRIPT.encode())
    return cmd.with_root()


def _words(
    interface: InterfaceState, before: InterfaceState | None, *, has_default: bool
) -> tuple[str, ...]:
    gateway = interface.gateway if has_default else ""
    # dnsmasq answers at the gateway that DHCP gives.
    name_server = gateway if interface.dhcp else interface.name_server
    return (
        interface.name,
        interface.mac.lower(),
        str(interface.mtu),
        _address(interface),
        gateway or "-",
        name_server or "-",
        _address(before) if before else "-",
        before.gateway if before and before.gateway else "-",
    )


def _address(interface: InterfaceState) -> str:
    if not interface.address:
        return "-"
    return f"{interface.address}/{interface.prefix}"
