"""Parts that somebody broke on the second host are seen, and `up` repairs them.

With Debian 13 there, they are parts of Open vSwitch 3.5 and libvirt 11, beside main's
own. Two of the second host's bridges are in a ring, so that a veth pair joins them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.state.model import PatchState, State, TunnelEnd
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import DATA, Guest, condition, project, ran, wait_until

pytestmark = pytest.mark.live
SLUG, HOST, FOREIGN = "far", "host-b", "alien0"
# Bridges are at home on the two hosts by turns.
RING = {
    "- bridge: br1": "- bridge: br3",
    "- name: br1": "- name: br1\n    - name: br2\n    - name: br3",
    "br0: br1": "{br0: br1, br1: br3, br3: br0}",
    "bridge_connections:\n    ": "bridge_connections: ",
}


@pytest.fixture(name="state")
def _state(stack: Stack, owner: Client, tmp_path: Path) -> Iterator[State]:
    text = (DATA / "pair/kvm-compose.yaml").read_text()
    for old, new in RING.items():
        text = text.replace(old, new)
    (tmp_path / "kvm-compose.yaml").write_text(text)
    owner.create_testbed(SLUG, tmp_path)
    first = ran(owner, SLUG, "up")
    assert first.status == "succeeded", first.words
    yield project(stack, SLUG).read_state()
    stack.other.run("ovs-vsctl", "--if-exists", "del-port", FOREIGN)
    down = ran(owner, SLUG, "down")
    assert down.status == "succeeded", down.words


def test_parts_broken_on_the_second_host_are_seen_and_repaired(
    stack: Stack, owner: Client, state: State
) -> None:
    near, away = (Guest(stack, SLUG, name) for name in ("near", "away"))
    boots = near.boot, away.boot
    wait_until(lambda: condition(stack, SLUG) == "up", "it is not seen to be up")

    broken = break_tunnel(stack, state) + remake_veth(stack, state)
    broken += set_tap_down(stack, state) + set_bridge_otherwise(stack, state)
    broken += plug_in_foreign_port(stack, state)
    page_says(owner, broken)
    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert (near.boot, away.boot) == boots
    assert key_of(stack, end_of(state)) == str(state.network.tunnels[0].key)
    page_says(owner, broken[-1:])
    stack.other.run("ovs-vsctl", "del-port", FOREIGN)
    wait_until(lambda: condition(stack, SLUG) == "up", "something is still missed")
    assert state.network.nat is not None
    away.run(f"ping -c1 -w60 {state.network.nat.gateway}")


def page_says(owner: Client, texts: list[str]) -> None:
    def is_said() -> bool:
        page = owner.pages.read(f"/testbeds/{SLUG}/")
        return all(text in page for text in texts)

    wait_until(is_said, f"the page does not say all of {texts}")


def end_of(state: State) -> TunnelEnd:
    end: TunnelEnd = state.network.tunnels[0].end_on(HOST)
    return end


def veth_of(state: State) -> PatchState:
    (patch,) = (p for p in state.network.patches if p.host == HOST)
    assert patch.is_veth
    return patch


def key_of(stack: Stack, end: TunnelEnd) -> str:
    said = stack.other.run("ovs-vsctl", "get", "Interface", end.port, "options:key")
    return said.strip().strip('"')


def break_tunnel(stack: Stack, state: State) -> list[str]:
    """Change the key of one end. Returns the words of the page."""
    port = end_of(state).port
    stack.other.run("ovs-vsctl", "set", "Interface", port, "options:key=4242")
    return [f"tunnel {state.network.tunnels[0].name} has other settings on {HOST}"]


def remake_veth(stack: Stack, state: State) -> list[str]:
    """Make the pair between two bridges anew, under the same names."""
    patch, run = veth_of(state), stack.other.run
    run("ip", "link", "delete", patch.port_a)
    pair = ("type", "veth", "peer", "name", patch.port_b)
    run("ip", "link", "add", patch.port_a, *pair)
    for end in (patch.port_a, patch.port_b):
        run("ip", "link", "set", end, "up")
    return [f"link {patch.name} is cut on {HOST}"]


def set_tap_down(stack: Stack, state: State) -> list[str]:
    tap = state.guest("away").interfaces[0].tap
    stack.other.run("ip", "link", "set", tap, "down")
    return [f"interface eth0 of guest away is down on {HOST}"]


def set_bridge_otherwise(stack: Stack, state: State) -> list[str]:
    """Let the tunnel's bridge forward nothing by itself, and put its end into a VLAN."""
    end = end_of(state)
    changes = ("fail_mode=secure", "other_config:mac-aging-time=15")
    stack.other.run("ovs-vsctl", "set", "Bridge", end.device, *changes)
    stack.other.run("ovs-vsctl", "set", "Port", end.port, "tag=7")
    name = next(b.name for b in state.network.bridges if b.device == end.device)
    return [f"bridge {name} has other settings on {HOST}"]


def plug_in_foreign_port(stack: Stack, state: State) -> list[str]:
    device = end_of(state).device
    new = ("--", "set", "Interface", FOREIGN, "type=internal")
    stack.other.run("ovs-vsctl", "add-port", device, FOREIGN, *new)
    name = next(b.name for b in state.network.bridges if b.device == device)
    return [f"bridge {name} on {HOST} has the foreign port {FOREIGN}"]
