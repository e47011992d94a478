"""Which host runs what, and what stays where it was."""

import pytest

from orchestration.compose.language.schema import LoadBalancing, Spec
from orchestration.errors import StateError
from orchestration.state.model import HostState, State
from orchestration.state.placement import Taken, order_hosts, place
from tests.orchestration.state.samples import HOSTS, build, machine, spec_of

A, B, C = HOSTS


def test_hosts_are_ordered_main_first_then_by_name() -> None:
    first = HostState(name="aaa")

    assert order_hosts([C, first, B, A]) == (A, first, B, C)


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        ([], "no testbed host"),
        ([B, C], "found: none"),
        ([A, B.model_copy(update={"is_main": True})], "found: host-a, host-b"),
        ([A, B, B], "same name"),
    ],
)
def test_impossible_inventory_is_refused(hosts: list[HostState], message: str) -> None:
    with pytest.raises(StateError, match=message) as caught:
        order_hosts(hosts)

    assert caught.value.hint


def test_bridges_go_round_the_hosts_and_guests_follow_their_first_bridge() -> None:
    spec = spec_of(
        machine("g0", "br0"),
        machine("g1", "br1"),
        machine("g2", "br2", "br1"),
        bridges=("br0", "br1", "br2"),
    )

    placement = place(spec, [A, B])

    assert placement.guests == {"g0": "host-a", "g1": "host-b", "g2": "host-a"}
    assert placement.bridges == {
        "br0": ("host-a",),
        "br1": ("host-b", "host-a"),
        "br2": ("host-a",),
    }


def test_guests_without_interfaces_go_round_the_hosts_themselves() -> None:
    spec = spec_of(
        machine("g0"), machine("on", "br0"), machine("g1"), machine("g2"), machine("g3")
    )

    placement = place(spec, [A, B, C])

    loose = [placement.guests[name] for name in ("g0", "g1", "g2", "g3")]
    assert loose == ["host-a", "host-b", "host-c", "host-a"]
    assert placement.guests["on"] == "host-a"


def test_external_bridge_is_stretched_to_main() -> None:
    spec = spec_of(bridges=("br0", "br1"), external="br1")

    assert place(spec, [A, B]).bridges["br1"] == ("host-b", "host-a")


def test_bridges_and_guests_stay_when_hosts_and_bridges_are_added() -> None:
    spec = spec_of(machine("g1", "br1"), machine("g2"), bridges=("br0", "br1"))
    before = build(spec, hosts=[A, C])
    later = spec_of(
        machine("new", "br9"),
        machine("g1", "br9"),
        machine("g2", "br1"),
        bridges=("br9", "br1", "br0"),
    )

    placement = place(later, [A, B, C], before)

    assert placement.home("br1") == "host-c"
    assert placement.home("br0") == "host-a"
    assert placement.guests == {"new": "host-a", "g1": "host-c", "g2": "host-a"}
    assert placement.bridges["br9"] == ("host-a", "host-c")


def test_guest_of_a_host_that_is_gone_is_placed_anew() -> None:
    spec = spec_of(machine("g1", "br1"), bridges=("br0", "br1"))
    before = build(spec, hosts=[A, B])

    placement = place(spec, [A, C], before)

    assert placement.home("br1") == "host-c"
    assert placement.guests["g1"] == "host-c"


def test_home_of_a_stretched_bridge_is_remembered() -> None:
    spec = spec_of(machine("g", "br0", "br1"), bridges=("br0", "br1"), external="br1")
    before = build(spec, hosts=[A, B])
    assert [b.host for b in before.network.bridges if b.name == "br1"] == [
        "host-b",
        "host-a",
    ]

    placement = place(spec_of(bridges=("br1",), external="br1"), [A, B], before)

    assert placement.bridges["br1"] == ("host-b", "host-a")


def test_unknown_bridge_is_refused() -> None:
    with pytest.raises(StateError, match="Guest g is plugged into bridge nope"):
        place(spec_of(machine("g", "br0", "nope")), [A])


def test_unknown_external_bridge_is_refused() -> None:
    with pytest.raises(StateError, match="external bridge nope does not exist"):
        place(spec_of(external="nope"), [A])


def balanced(*machines: object, **options: object) -> Spec:
    spec = spec_of(*machines, **options)
    load = {"load_balancing": LoadBalancing.BALANCED}
    wanted = spec.testbed_options.model_copy(update=load)
    return spec.model_copy(update={"testbed_options": wanted})


def sized(name: str, cpus: int, memory_mb: int) -> object:
    found = machine(name, "br0")
    found["libvirt"] |= {"cpus": cpus, "memory_mb": memory_mb}
    return found


def of_size(host: HostState, cpus: int, memory_mib: int) -> HostState:
    return host.model_copy(update={"cpus": cpus, "memory_mib": memory_mib})


def test_balanced_guests_fill_hosts_by_their_size() -> None:
    hosts = [of_size(A, 4, 8192), of_size(B, 12, 24576)]
    spec = balanced(*(sized(f"g{n}", 1, 1024) for n in range(8)))

    guests = place(spec, hosts).guests

    assert [*guests.values()].count("host-a") == 2
    assert place(spec, hosts).guests == guests


def test_balanced_counts_what_is_scarcer() -> None:
    hosts = [of_size(A, 32, 4096), of_size(B, 16, 16384)]
    spec = balanced(sized("big", 1, 3072), sized("next", 1, 3072))

    assert place(spec, hosts).guests == {"big": "host-b", "next": "host-b"}


def test_balanced_leaves_guests_where_they_are_and_counts_them() -> None:
    hosts = [of_size(A, 8, 8192), of_size(B, 8, 8192)]
    first = balanced(sized("one", 4, 4096))
    before = build(first, hosts=hosts)

    after = build(
        balanced(sized("new", 1, 512), sized("one", 4, 4096)),
        hosts=hosts,
        previous=before,
    )

    assert after.guest("one").host == before.guest("one").host == "host-a"
    assert after.guest("new").host == "host-b"
    bridges = [bridge.host for bridge in after.network.bridges]
    assert bridges == ["host-a", "host-b"]


def test_balanced_guests_avoid_hosts_that_other_testbeds_fill() -> None:
    hosts = [of_size(A, 8, 8192), of_size(B, 8, 8192)]
    spec = balanced(*(sized(f"g{n}", 1, 1024) for n in range(4)))
    taken = {"host-a": Taken(1, 1024) + Taken(2, 1024)}

    guests = place(spec, hosts, taken=taken).guests

    assert [*guests.values()].count("host-a") == 1
    assert place(spec, hosts, taken={"host-z": Taken(8, 8192)}).guests == (
        place(spec, hosts).guests
    )


def test_balanced_hosts_of_unknown_size_share_alike() -> None:
    spec = balanced(*(sized(f"g{n}", 1, 256) for n in range(4)))

    hosts = [*place(spec, [A, B]).guests.values()]

    assert sorted(hosts) == ["host-a", "host-a", "host-b", "host-b"]


def test_closed_host_gets_no_new_bridge_and_no_new_guest() -> None:
    spec = spec_of(
        machine("g0", "br0"),
        machine("g1", "br1"),
        machine("g2"),
        bridges=("br0", "br1"),
    )

    placement = place(spec, [A, B, C], closed={"host-b"})

    assert placement.guests == {"g0": "host-a", "g1": "host-c", "g2": "host-a"}
    assert placement.home("br1") == "host-c"


def test_bridge_of_a_closed_host_stays_and_its_new_guest_goes_elsewhere() -> None:
    before = build(spec_of(machine("g0", "br0"), machine("g1", "br1"), bridges=BRIDGES))
    after = spec_of(
        machine("g0", "br0"),
        machine("g1", "br1"),
        machine("g2", "br1"),
        bridges=BRIDGES,
    )
    kept = with_disks(before)

    placement = place(after, HOSTS, kept, closed={"host-b"})

    assert placement.guests["g1"] == "host-b"
    assert placement.guests["g2"] != "host-b"
    assert placement.home("br1") == "host-b"
    assert place(after, HOSTS, before, closed={"host-b"}).guests["g1"] != "host-b"


def test_balance_leaves_closed_hosts_out() -> None:
    spec = spec_of(machine("g0"), machine("g1"), machine("g2"))
    balanced = spec.model_copy(
        update={
            "testbed_options": spec.testbed_options.model_copy(
                update={"load_balancing": LoadBalancing.BALANCED}
            )
        }
    )

    placement = place(balanced, HOSTS, closed={"host-b", "host-c"})

    assert set(placement.guests.values()) == {"host-a"}


def test_with_all_hosts_closed_all_count_as_open() -> None:
    spec = spec_of(machine("g0"), machine("g1"))
    names = {host.name for host in HOSTS}

    assert place(spec, HOSTS, closed=names) == place(spec, HOSTS)


BRIDGES = ("br0", "br1")


def with_disks(state: State) -> State:
    """Return a state whose guests have their disks."""
    guests = [
        guest.model_copy(
            update={"markers": guest.markers.model_copy(update={"disk": "d"})}
        )
        for guest in state.guests
    ]
    return state.model_copy(update={"guests": tuple(guests)})
