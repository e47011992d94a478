"""Taps of running guests that are not where they belong.

libvirt plugs a tap in once, when its guest starts. A bridge or network that somebody
deleted by hand and that `up` makes again is empty: the taps are still there, held by
their guests, on no bridge. Taps of guests that do not run do not exist, and are left
to libvirt. Used by the instructions right after a bridge or network was ensured;
`ovs_taps` puts one on its bridge.
"""

from collections.abc import Sequence

from orchestration.errors import NetworkFailed
from orchestration.providers import ip_link
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.ovsdb import list_clause, read
from orchestration.transport.base import Scope, Transport, command


def off_bridge(
    transport: Transport, device: str, taps: Sequence[str], *, scope: Scope
) -> dict[str, bool]:
    """Return the taps that exist and are not on an Open vSwitch bridge.

    The value says whether a tap is on another bridge instead.
    """
    if not taps:
        return {}
    bridges, ports = read(
        transport,
        list_clause("Bridge", "name,ports", device),
        list_clause("Port", "_uuid,name", *taps),
        scope=scope,
    )
    here = {uuid for row in bridges for uuid in row.values("ports")}
    ports_of = {row.text("name"): row.text("_uuid") for row in ports}
    off = [tap for tap in taps if ports_of.get(tap) not in here]
    there = ip_link.links(transport, scope=scope) if off else {}
    return {tap: tap in ports_of for tap in off if tap in there}


def plug_into_network(
    transport: Transport, device: str, taps: Sequence[str], *, scope: Scope
) -> tuple[str, ...]:
    """Make the taps that exist isolated ports of a libvirt network's Linux bridge."""
    there = ip_link.links(transport, scope=scope) if taps else {}
    loose = (tap for tap in taps if tap in there and there[tap].master != device)
    found = tuple(loose)
    failure = Failure(
        NetworkFailed,
        f"Guests could not be plugged into {device} on {transport.machine}.",
        "Look whether the libvirt network is active there.",
    )
    for tap in found:
        words = f"link set dev {tap} master {device}"
        slave = f"link set dev {tap} type bridge_slave isolated on"
        for line in (words, slave):
            cmd = command("ip", *line.split()).with_root()
            run_or_fail(transport, cmd, failure, scope=scope)
    return found
