"""Reads a host's own network: its ranges, its filters, and the MTU of its underlay.

The host check stores it (`HostNetwork`), so that planning asks no machine.
`state/overlaps.py` decides whether a range is one of ours; our own networks are left
out. Firewall rules are read in `filters`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from orchestration.providers.linux import filters
from orchestration.state.model import Claim, ClaimKind, HostNetwork
from orchestration.transport.base import Scope, Transport, command

# One shell call. Of long rule sets only the relevant lines are sent.
_LOOK = """\
echo '[devices]'; ip -json address show
echo '[routes]'; ip -json -4 route show table all
echo '[ports]'
device=$(ip -oneline address show to "$1" 2>/dev/null | awk '{ print $2; exit }')
ovs-vsctl --timeout=5 list-ports "$device" 2>/dev/null
echo '[iptables]'
iptables-save -t filter 2>/dev/null |
  grep -E -e '^:(FORWARD|LIBVIRT_FWI) ' -e '-j (DROP|REJECT)'
echo '[nft]'
nft list ruleset 2>/dev/null |
  grep -E -e '^table ' -e 'chain ' -e 'hook forward' -e '(drop|reject)( |$)'
echo '[firewall]'; nft list tables > /dev/null 2>&1 || echo none
echo '[libvirt]'
sed -n 's/^ *firewall_backend *= *"\\(.*\\)".*/\\1/p' /etc/libvirt/network.conf 2>/dev/null
true
"""
_SECTION = re.compile(r"^\[(\w+)\]\n", re.MULTILINE)
# The devices of our own networks (`state/names.py`): NAT and management.
_OURS = re.compile(r"t\d{1,4}(nat|mgmt)")
_TAP = re.compile(r"t\d{1,4}g\d+i(\d+|m)|vnet\d+")
_MOST_CLAIMS = 100
T = TypeVar("T")


class _Address(BaseModel):
    local: str = ""
    prefixlen: int = 0


class _Device(BaseModel):
    ifname: str = ""
    mtu: int = 0
    addr_info: list[_Address] = []


class _Route(BaseModel):
    dst: str = ""
    dev: str = ""
    type: str = "unicast"


_DEVICES = TypeAdapter(list[_Device])
_ROUTES = TypeAdapter(list[_Route])


def look(transport: Transport, tunnel_address: str, *, scope: Scope) -> HostNetwork:
    """Read a host's network. Raises: HostUnreachable."""
    cmd = command("sh", "-c", _LOOK, "sh", tunnel_address).with_root()
    completed = transport.run(cmd, scope=scope, check=False)
    return parse(completed.stdout, tunnel_address)


def parse(text: str, tunnel_address: str) -> HostNetwork:
    """Parse the output of the script; missing or unknown parts count as nothing."""
    parts = _SECTION.split(text)[1:]
    said = dict(zip(parts[::2], parts[1::2], strict=True))
    devices = _read(_DEVICES, said.get("devices", ""))
    routes = _read(_ROUTES, said.get("routes", ""))
    iptables, nft = said.get("iptables", ""), said.get("nft", "")
    claims = {
        *_of_devices(devices),
        *_of_routes(routes),
        *(
            Claim(kind=ClaimKind.FILTER, range=rule.range, by=rule.chain)
            for rule in (*filters.of_iptables(iptables), *filters.of_nft(nft))
        ),
    }
    device = _device_of(devices, tunnel_address)
    return HostNetwork(
        tunnel_device=device,
        tunnel_mtu=_mtu(devices, {device, *said.get("ports", "").split()}),
        claims=tuple(sorted(claims, key=_order)[:_MOST_CLAIMS]),
        lacks_nftables=said.get("firewall", "").strip() == "none",
        drops_forwards=filters.drops_forwards(iptables, nft, said.get("libvirt", "")),
    )


def _read(shape: TypeAdapter[list[T]], text: str) -> list[T]:
    try:
        return shape.validate_json(text.strip() or "[]")
    except ValidationError:
        return []


def _of_devices(devices: Iterable[_Device]) -> Iterator[Claim]:
    for device in devices:
        for address in device.addr_info:
            if "." in address.local and not _OURS.fullmatch(device.ifname):
                yield Claim(
                    kind=ClaimKind.ADDRESS,
                    range=f"{address.local}/{address.prefixlen}",
                    by=device.ifname,
                )


def _of_routes(routes: Iterable[_Route]) -> Iterator[Claim]:
    """Leave out the default route, the kernel's own (local) and our devices'."""
    for route in routes:
        is_foreign = route.dev and not _OURS.fullmatch(route.dev)
        if is_foreign and route.type == "unicast" and route.dst[:1].isdigit():
            yield Claim(kind=ClaimKind.ROUTE, range=route.dst, by=route.dev)


def _device_of(devices: Iterable[_Device], address: str) -> str:
    found = (d.ifname for d in devices if address in {a.local for a in d.addr_info})
    return next(found, "") if address else ""


def _mtu(devices: Sequence[_Device], names: set[str]) -> int:
    """Return the MTU that all devices of an underlay carry, except guests' taps."""
    carried = [
        device.mtu
        for device in devices
        if device.ifname in names and device.mtu and not _TAP.fullmatch(device.ifname)
    ]
    return min(carried, default=0)


def _order(claim: Claim) -> tuple[int, str, str, str]:
    """Sort the widest first, which overlap the most."""
    prefix = IPv4Network(claim.range, strict=False).prefixlen
    return (prefix, claim.kind, claim.range, claim.by)
