"""Rules about the OpenFlow controllers of bridges.

Part of `compose/check.py`. Open vSwitch runs as root on the hosts: it would listen on
any of their ports for `ptcp:`, and connect to their own services for `tcp:`. So a
controller is a literal IPv4 address that belongs to no testbed host. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from orchestration.compose.draft import Draft
from orchestration.compose.pools import SUBNET_PREFIX, Ranges
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import impossible, parse_address
from orchestration.compose.rules.hosts import KnownHost
from orchestration.errors import Finding

CONTROLLER = re.compile(r"tcp:([0-9.]+):([0-9]{1,5})")
EXAMPLE = "tcp:198.51.100.5:6653"
LAST_PORT = 65535


def check_controllers(
    draft: Draft, positions: Positions, ranges: Ranges, hosts: Sequence[KnownHost]
) -> Iterator[Finding]:
    """Check the controller of each bridge."""
    for index, bridge in enumerate(draft.network.bridges if draft.network else ()):
        path: Path = ("network", "bridges", index, "controller")
        if bridge.controller is None:
            continue
        address = _address(bridge.controller)
        if address is None:
            yield positions.error(
                path,
                f"`{bridge.controller}` is no address of an OpenFlow controller.",
                f"Write tcp:ADDRESS:PORT with an IPv4 address, such as {EXAMPLE}.",
            )
        elif problem := _problem(address, ranges, hosts):
            yield positions.error(
                path,
                f"The controller `{bridge.controller}` {problem}.",
                "Run the controller in a guest or on a machine that is no testbed "
                "host, and write its address.",
            )


def _address(text: str) -> IPv4Address | None:
    match = CONTROLLER.fullmatch(text)
    if match is None or not 0 < int(match[2]) <= LAST_PORT:
        return None
    return parse_address(match[1])


def _problem(address: IPv4Address, ranges: Ranges, hosts: Sequence[KnownHost]) -> str:
    if found := impossible(address):
        return found
    if address.is_link_local:
        return "is a link-local address"
    owners = (h.name for h in hosts if str(address) in (h.address, h.tunnel_address))
    owner = next(owners, "")
    if owner:
        return f"has the address of testbed host {owner}"
    return "has a testbed host's address" if _is_gateway(address, ranges) else ""


def _is_gateway(address: IPv4Address, ranges: Ranges) -> bool:
    """Return whether a host has this address in a testbed's subnet: the first."""
    size = 1 << (address.max_prefixlen - SUBNET_PREFIX)
    is_ours = address in ranges.nat or address in ranges.management
    return is_ours and int(address) % size == 1
