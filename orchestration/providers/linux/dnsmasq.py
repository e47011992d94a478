"""Finds the libvirt networks whose dnsmasq runs, by its process.

libvirt calls a network active while its bridge is there, also without the dnsmasq that
gives addresses and names, and does not start a new one by itself. Used by the look and
by `ensure_networks`; `libvirt/networks.py` starts it again.
"""

from orchestration.transport.base import Scope, Transport, command

PIDS = "/run/libvirt/network"
# One shell call. Another process may have got the number of a dead one, and a dead one
# that nobody waits for has no arguments any more.
_LOOK = r"""
for file in "$1"/*.pid; do
  name=${file##*/} name=${name%.pid}
  read -r pid < "$file" || continue
  case "$(tr '\0' ' ' < "/proc/$pid/cmdline")" in
    *"/$name.conf "*) echo "$name" ;;
  esac
done 2> /dev/null
true
"""


def running(
    transport: Transport, *, scope: Scope, folder: str = PIDS
) -> frozenset[str]:
    """Return the networks whose dnsmasq runs. Raises: HostUnreachable."""
    cmd = command("sh", "-c", _LOOK, "sh", folder).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    return frozenset(completed.stdout.split())
