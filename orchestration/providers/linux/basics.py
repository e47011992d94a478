"""Reads from a machine, in one call, what a testbed host needs besides its daemons.

The packages that are missing, its system and kernel, its clock, and the space below the
folder of the guests' disks, which may not exist yet. Used when a host is added.
"""

import time
from dataclasses import dataclass

from orchestration.transport.base import Scope, Transport, command

# Programs, and the packages of Debian and Ubuntu that have them (docs/hosts.md).
PACKAGES = {
    "libvirtd": "libvirt-daemon-system",
    "virsh": "libvirt-clients",
    "qemu-img": "qemu-utils",
    "ovs-vsctl": "openvswitch-switch",
    "dnsmasq": "dnsmasq-base",
    "iptables-save": "iptables",
    "nft": "nftables",
    "ip": "iproute2",
    "ethtool": "ethtool",
    "ps": "procps",
    "zstd": "zstd",
    "tcpdump": "tcpdump",
}
QEMU_PACKAGES = {"x86_64": "qemu-system-x86", "aarch64": "qemu-system-arm"}
# Accounts other than root have no sbin in their PATH. $1 is a folder. One fact a line.
_LOOK = """\
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
. /etc/os-release 2>/dev/null; echo "system $PRETTY_NAME"
machine=$(uname -m)
echo "kernel $(uname -r)"; echo "machine $machine"; echo "clock $(date +%s)"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "network $(stat -Lc %i /proc/self/ns/net)"
folder=$1
while [ ! -d "$folder" ] && [ "$folder" != / ]; do folder=$(dirname "$folder"); done
echo "free $(df -kP "$folder" | awk 'END { print $4 }')"
echo "qemu $("qemu-system-$machine" --version 2>/dev/null | head -n 1)"
shift
for name; do command -v "$name" > /dev/null || echo "missing $name"; done
"""
_MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Basics:
    """A machine's `system` and `kernel` in words, and what is `missing`, as packages.

    `identity` is the same for two ways to one machine. The clock is ahead of ours by
    `ahead_s` seconds, exact to `within_s`; None where it was not read. `qemu` is the
    version, empty without the program.
    """

    system: str
    kernel: str
    identity: str
    free_bytes: int | None
    ahead_s: float | None
    within_s: float
    qemu: str
    missing: tuple[str, ...]


def read_basics(transport: Transport, folder: str, *, scope: Scope) -> Basics:
    """Read them. Raises: HostUnreachable, CommandTimedOut, Cancelled."""
    cmd = command("sh", "-c", _LOOK, "sh", folder, *PACKAGES)
    asked_at = time.time()
    said = transport.run(cmd, scope=scope, timeout_s=20.0, check=False).stdout
    return parse(said, asked_at=asked_at, answered_at=time.time())


def parse(text: str, *, asked_at: float, answered_at: float) -> Basics:
    """Parse the script's output; what was not said counts as nothing."""
    found: dict[str, str] = {}
    missing = []
    for line in text.splitlines():
        name, _, value = line[:_MOST_TEXT].partition(" ")
        if name == "missing" and value in PACKAGES:
            missing.append(PACKAGES[value])
        found.setdefault(name, value.strip())
    machine, qemu = found.get("machine", ""), found.get("qemu", "")
    if machine and not qemu:
        missing.append(QEMU_PACKAGES.get(machine, "qemu-system"))
    boot, network = found.get("boot", ""), found.get("network", "")
    free, clock = found.get("free", ""), found.get("clock", "")
    middle, within_s = (asked_at + answered_at) / 2, (answered_at - asked_at) / 2 + 1
    return Basics(
        system=found.get("system", ""),
        kernel=found.get("kernel", ""),
        identity=f"{boot} {network}" if boot and network else "",
        free_bytes=int(free) << 10 if _is_number(free) else None,
        ahead_s=int(clock) - middle if _is_number(clock) else None,
        within_s=within_s,
        qemu=qemu,
        missing=tuple(dict.fromkeys(missing)),
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 16
