"""Any valid spec on any hosts, for the property tests."""

from ipaddress import IPv4Address

from hypothesis import strategies as st

from orchestration.compose.language.schema import Spec
from orchestration.compose.pools import Pools
from orchestration.state.model import HostState
from tests.orchestration.compose.fakes import read_spec
from tests.orchestration.state.samples import machine, scaled

NUMBER = 1023

# Bridges that try to look like our own devices are the interesting ones.
BRIDGES = ("br0", "br1", "nat", "mgmt", "vn", "g0i0", "p0a", "v0", "x-y_z", "Br0")
# Names of clones must not meet others, nor the names that DNS derives of interfaces.
SCALED = ("node", "web-eth", "demo")
GUESTS = ("web", "web-eth1", "demo-web", "db", "a", "a-b", "mgmt0", "x" * 40)


def _interface(bridge: str, shape: int, count: int, number: int) -> dict[str, str]:
    """Return the `count`-th interface; `shape` says what the user chose of it."""
    interface = {"bridge": bridge}
    if shape & 1:
        interface["mac"] = f"02:00:00:00:00:{count:02x}"
    if shape & 2:
        # Right where reservations begin, so that they have to make way.
        interface["ip"] = str(Pools().nat_subnet(number).network_address + 14 + count)
    elif shape & 4:
        interface["ip"] = str(IPv4Address("172.20.0.1") + count)
    return interface


@st.composite
def specs(draw: st.DrawFn, *, with_loops: bool = True, number: int = NUMBER) -> Spec:
    bridges = draw(st.lists(st.sampled_from(BRIDGES), min_size=1, unique=True))
    guests = draw(st.lists(st.sampled_from(GUESTS), max_size=8, unique=True))
    machines, count = [], 0
    for guest in guests:
        interfaces = []
        for bridge in draw(st.lists(st.sampled_from(bridges), max_size=4)):
            shape, count = draw(st.integers(0, 7)), count + 1
            interfaces.append(_interface(bridge, shape, count, number))
        machines.append(machine(guest, *interfaces))
    for guest in draw(st.lists(st.sampled_from(SCALED), max_size=2, unique=True)):
        clones = draw(st.lists(st.lists(st.sampled_from(bridges)), max_size=4))
        shared = draw(st.none() | st.just("shared.sh"))
        machines.insert(0, scaled(guest, *clones, shared_setup=shared))
    return read_spec(
        {
            "machines": machines,
            "network": {
                "bridges": [{"name": name} for name in bridges],
                "bridge_connections": draw(_joined(bridges, with_loops=with_loops)),
                "external_bridge": draw(st.none() | st.sampled_from(bridges)),
            },
            "testbed_options": {"management_network": draw(st.booleans())},
        }
    )


@st.composite
def _joined(draw: st.DrawFn, bridges: list[str], *, with_loops: bool) -> dict[str, str]:
    joined = {}
    for index, source in enumerate(bridges):
        # Leading only to earlier bridges, connections cannot close a loop.
        targets = [
            name
            for position, name in enumerate(bridges)
            if name != source and (with_loops or position < index)
        ]
        target = draw(st.none() | st.sampled_from(targets)) if targets else None
        if target is not None:
            joined[source] = target
    return joined


@st.composite
def inventories(draw: st.DrawFn) -> tuple[HostState, ...]:
    names = draw(
        st.lists(
            st.sampled_from("abcdef"),
            min_size=1,
            max_size=4,
            unique=True,
        )
    )
    main = draw(st.sampled_from(names))
    return tuple(
        HostState(
            name=name,
            is_main=name == main,
            address=f"192.0.2.{index + 1}",
            projects_dir="/p",
            images_dir="/i",
        )
        for index, name in enumerate(names)
    )
