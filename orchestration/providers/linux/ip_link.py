"""Network devices of a host by `ip` and `ethtool`: veth pairs, up, addresses, no IPv6.

Used for the veth pairs that join a libvirt NAT network to an Open vSwitch bridge and
bridges with RSTP to each other, and by `ovs/bridges.py` for the internal ports of
bridges. Each verb reads before it writes and returns whether anything changed. Bridges
and their ports are in `ovs/bridges.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, failure_of, run_or_fail
from orchestration.transport.base import Completed, Scope, Transport, command

# The kernel's default for a new device.
PLAIN_MTU = 1500
# A device that is gone, or a kernel without IPv6, has no such folder.
SILENCE_HOST = """\
for device do
  folder=/proc/sys/net/ipv4/conf/$device
  [ ! -d "$folder" ] || echo 1 > "$folder/arp_ignore" || exit
  folder=/proc/sys/net/ipv6/conf/$device
  [ -d "$folder" ] || continue
  echo 1 > "$folder/disable_ipv6" && echo 0 > "$folder/accept_ra" &&
    ip link set dev "$device" addrgenmode none || exit
done
"""


@dataclass(frozen=True, slots=True)
class Link:
    """One network device as `ip link` reports it; `peer` is a veth's other end.

    `index` is the kernel's number, which a device that is made again has not. Bytes and
    packets are counted since it was made, and 0 where they were not asked for.
    """

    name: str
    up: bool
    master: str
    peer: str
    addresses: tuple[str, ...] = ()
    mtu: int = PLAIN_MTU
    index: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    received_packets: int = 0
    sent_packets: int = 0
    received_dropped: int = 0
    sent_dropped: int = 0


def ensure_veth(
    transport: Transport,
    a: str,
    b: str,
    *,
    scope: Scope,
    master_of_a: str = "",
    mtu: int = PLAIN_MTU,
) -> bool:
    """Make the veth pair `a`-`b`, both up, `a` on the Linux bridge that is named.

    The pair carries at least packets of `mtu` bytes.

    Checksum offload is off on both ends: packets that cross into a userspace datapath
    would otherwise carry checksums that are never filled in.
    """
    failure = Failure(
        NetworkFailed,
        f"The link {a} to {b} could not be made on {transport.machine}.",
        "Check that the libvirt network is active and that `ip` and `ethtool` work.",
    )
    veths = {
        link.name: link
        for link in _links(transport, "link show type veth", failure, scope=scope)
    }
    pair = (veths.get(a), veths.get(b))
    is_wide = all(end is not None and end.mtu >= mtu for end in pair)
    if is_wide and _is_ready(pair, master_of_a):
        return False

    if not _is_pair(pair):
        for stale in (end for end in pair if end is not None):
            delete_link(transport, stale.name, scope=scope)
        _ip(transport, failure, f"link add {a} type veth peer name {b}", scope=scope)
    if master_of_a:
        _ip(transport, failure, f"link set dev {a} master {master_of_a}", scope=scope)
    silence_host(transport, (a, b), scope=scope)
    for device in (a, b):
        if mtu > PLAIN_MTU:
            _ip(transport, failure, f"link set dev {device} mtu {mtu}", scope=scope)
        bring_up(transport, device, checksum_offload=False, scope=scope)
    return True


def bring_up(
    transport: Transport, device: str, *, checksum_offload: bool, scope: Scope
) -> None:
    """Set a device up; up then also means that its offload is set."""
    failure = Failure(
        NetworkFailed,
        f"The network device {device} could not be set up on {transport.machine}.",
        "Check that `ip` and `ethtool` are installed there.",
    )
    if not checksum_offload:
        offload = command("ethtool", "-K", device, "tx", "off").with_root()
        run_or_fail(transport, offload, failure, scope=scope)
    _ip(transport, failure, f"link set dev {device} up", scope=scope)


def silence_host(transport: Transport, devices: Sequence[str], *, scope: Scope) -> None:
    """Let the host itself not speak on devices that only carry guests' frames.

    The kernel's defaults give each an IPv6 address and accept router advertisements,
    and answer ARP for the host's addresses on other devices: with the userspace
    datapath a guest would send to its gateway by its own tap, past its bridge.
    """
    failure = Failure(
        NetworkFailed,
        f"IPv6 and ARP could not be switched off for {', '.join(devices)} on "
        f"{transport.machine}.",
        "Check that /proc/sys can be written there.",
    )
    cmd = command("sh", "-c", SILENCE_HOST, "sh", *devices).with_root()
    run_or_fail(transport, cmd, failure, scope=scope)


def is_up(transport: Transport, device: str, *, scope: Scope) -> bool:
    """Return whether the kernel has a device, and up."""
    link = links(transport, scope=scope).get(device)
    return link is not None and link.up


def require_unused(transport: Transport, device: str, *, scope: Scope) -> None:
    """Refuse a network card with an address of the host: a bridge would cut it off.

    Raises: NetworkFailed.
    """
    found = addresses(transport, scope=scope).get(device, ())
    used = [address for address in found if not address.lower().startswith("fe80:")]
    if used:
        raise NetworkFailed(
            f"The network card {device} of {transport.machine} has the address "
            f"{used[0]}: plugged into a bridge, the host would lose it.",
            hint="Use a card without an address, or take the address away first.",
        )


def delete_link(transport: Transport, device: str, *, scope: Scope) -> bool:
    """Delete a device (a veth's other end goes with it); False when there is none."""
    cmd = command("ip", "link", "delete", "dev", device).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    if "Cannot find device" in completed.stderr:
        return False
    if completed.exit_code != 0:
        failure = Failure(
            NetworkFailed,
            f"The network device {device} could not be removed "
            f"from {transport.machine}.",
        )
        raise failure_of(completed, failure, machine=transport.machine)
    return True


def addresses(transport: Transport, *, scope: Scope) -> dict[str, tuple[str, ...]]:
    """Return each device's addresses, `a.b.c.d/n`, in the kernel's order."""
    failure = Failure(
        NetworkFailed, f"The addresses of {transport.machine} could not be read."
    )
    links = _links(transport, "address show", failure, scope=scope)
    return {link.name: link.addresses for link in links}


def links(
    transport: Transport, *, scope: Scope, counted: bool = False
) -> dict[str, Link]:
    """Return all network devices of a host by their names, with what they carried."""
    failure = Failure(
        NetworkFailed, f"The network devices of {transport.machine} cannot be listed."
    )
    words = "-statistics link show" if counted else "link show"
    found = _links(transport, words, failure, scope=scope)
    return {link.name: link for link in found}


def _links(
    transport: Transport, words: str, failure: Failure, *, scope: Scope
) -> list[Link]:
    text = _ip(transport, failure, f"-json {words}", scope=scope).stdout
    return [
        Link(
            row["ifname"],
            up="UP" in row.get("flags", ()),
            master=row.get("master", ""),
            peer=row.get("link", ""),
            mtu=row.get("mtu", PLAIN_MTU),
            index=row.get("ifindex", 0),
            addresses=tuple(
                f"{entry['local']}/{entry['prefixlen']}"
                for entry in row.get("addr_info", ())
                if "local" in entry
            ),
            **_counts(row),
        )
        for row in json.loads(text or "[]")
        if "ifname" in row
    ]


def _counts(row: dict[str, Any]) -> dict[str, int]:
    """Return the counts of a device as a `Link` names them; 0 for what is not there."""
    ways = {"rx": "received", "tx": "sent"}
    return {
        f"{name}_{what}": int(row.get("stats64", {}).get(way, {}).get(what, 0))
        for way, name in ways.items()
        for what in ("bytes", "packets", "dropped")
    }


def _is_ready(pair: tuple[Link | None, Link | None], master_of_a: str) -> bool:
    a, b = pair
    if a is None or b is None or not _is_pair(pair):
        return False
    return a.up and b.up and master_of_a in ("", a.master)


def _is_pair(pair: tuple[Link | None, Link | None]) -> bool:
    a, b = pair
    return a is not None and b is not None and a.peer == b.name and b.peer == a.name


def _ip(
    transport: Transport, failure: Failure, words: str, *, scope: Scope
) -> Completed:
    cmd = command("ip", *words.split()).with_root()
    return run_or_fail(transport, cmd, failure, scope=scope)
