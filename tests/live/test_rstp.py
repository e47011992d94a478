"""Three bridges in a ring over two hosts: RSTP keeps frames from going round.

Without RSTP a broadcast goes round for ever, in both directions: with it switched off
by hand, 10 of them had become 14,430 at the other guest a second later.
"""

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.traffic import BROADCASTS, broadcast, echoes_received, reached
from tests.live.watch import (
    DATA,
    Guest,
    holdings,
    host_of,
    project,
    ran,
    wait_until,
)

pytestmark = pytest.mark.live
SLUG = "ring"
GUESTS = ("a", "b")


@pytest.fixture(name="ring", scope="module")
def _ring(stack: Stack, owner: Client):
    before = holdings(stack)
    owner.create_testbed(SLUG, DATA / "ring")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    yield {name: Guest(stack, SLUG, name) for name in GUESTS}
    assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before


def blocked_ends(stack: Stack) -> int:
    """Return how many ends of the ring's links do not forward."""
    network = project(stack, SLUG).read_state().network
    ends = [(p.host, port) for p in network.patches for port in (p.port_a, p.port_b)]
    ends += [(end.host, end.port) for t in network.tunnels for end in t.ends]
    assert len(ends) == 6
    shown = {
        host: host_of(stack, host).run("ovs-appctl", "rstp/show") for host, _ in ends
    }
    forwarding = {
        (host, line.split()[0])
        for host, lines in shown.items()
        for line in lines.splitlines()
        if " Forwarding " in line
    }
    return sum(end not in forwarding for end in ends)


def test_broadcast_reaches_each_guest_of_a_ring_once(stack, owner, ring):
    assert "closes a loop; RSTP is switched on" in owner.pages.read(
        f"/testbeds/{SLUG}/"
    )
    wait_until(lambda: blocked_ends(stack) == 1, "RSTP does not block exactly one end")
    reached(ring["b"], "a")
    before = {name: echoes_received(guest) for name, guest in ring.items()}

    broadcast(ring["a"], "255.255.255.255")

    wait_until(lambda: echoes_received(ring["b"]) > before["b"], "b hears no broadcast")
    heard = [echoes_received(ring[name]) - before[name] for name in GUESTS]
    assert all(0 < count <= BROADCASTS for count in heard), heard


def test_names_come_back_when_the_nat_network_of_a_ring_was_stopped(stack, owner, ring):
    nat = project(stack, SLUG).read_state().network.nat
    host_of(stack, nat.host).run("virsh", "net-destroy", nat.network)

    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    for guest in ring.values():
        asked = f"timeout 2 nslookup a {nat.gateway} > /dev/null && echo yes || true"
        wait_until(lambda g=guest, c=asked: g.run(c) == "yes", "no name is told")
