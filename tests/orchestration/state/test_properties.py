"""Properties of the state of every valid spec on any hosts."""

from collections.abc import Iterable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.compose.language.schema import Spec
from orchestration.state.clones import expand
from orchestration.state.model import HostState, State
from orchestration.state.names import DEVICE_NAME_LIMIT
from orchestration.state.topology import build_components
from tests.orchestration.state.samples import build
from tests.orchestration.state.strategies import NUMBER, inventories, specs

Hosts = tuple[HostState, ...]

every_time = settings(deadline=None, max_examples=60, derandomize=True)


def devices(state: State) -> Iterator[tuple[str, str]]:
    """Yield every kernel device and OVS port with its host, each once."""
    network = state.network
    for bridge in network.bridges:
        yield bridge.host, bridge.device
    for patch in network.patches:
        yield patch.host, patch.port_a
        yield patch.host, patch.port_b
    for tunnel in network.tunnels:
        for end in tunnel.ends:
            yield end.host, end.port
    if network.nat:
        yield network.nat.host, network.nat.device
        yield network.nat.host, network.nat.veth_network_end
        yield network.nat.host, network.nat.veth_bridge_end
    for management in network.management:
        yield management.host, management.device
    for guest in state.machines:
        for interface in guest.interfaces:
            yield guest.host, interface.tap
        if guest.management:
            yield guest.host, guest.management.tap


def macs(state: State) -> list[str]:
    found = [i.mac for guest in state.machines for i in guest.interfaces]
    return found + [g.management.mac for g in state.machines if g.management]


def are_unique(values: Iterable[object]) -> bool:
    values = list(values)
    return len(set(values)) == len(values)


def joined(state: State) -> tuple[list[tuple[str, str]], list[tuple[object, object]]]:
    """Return the links as a graph over (host, device)."""
    network = state.network
    nodes = [(bridge.host, bridge.device) for bridge in network.bridges]
    edges: list[tuple[object, object]] = [
        ((p.host, p.device_a), (p.host, p.device_b)) for p in network.patches
    ]
    for tunnel in network.tunnels:
        one, other = tunnel.ends
        edges.append(((one.host, one.device), (other.host, other.device)))
    return nodes, edges


def components(
    nodes: Iterable[object], edges: Iterable[tuple[object, object]]
) -> dict[object, object]:
    """Return a representative of each node's component, the slow and obvious way."""
    group = {node: node for node in nodes}
    for one, other in edges:
        old, new = group[one], group[other]
        group = {node: new if rep == old else rep for node, rep in group.items()}
    return group


@every_time
@given(specs(), inventories())
def test_devices_are_unique_on_their_host_and_fit_the_kernel(
    spec: Spec, hosts: Hosts
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    found = list(devices(state))

    assert are_unique(found)
    assert all(0 < len(device) <= DEVICE_NAME_LIMIT for _, device in found)


@every_time
@given(specs(), inventories())
def test_macs_addresses_names_and_keys_are_unique(spec: Spec, hosts: Hosts) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    nat, guests = state.network.nat, state.machines
    reservations = nat.reservations if nat else ()

    assert are_unique(macs(state))
    assert are_unique(r.address for r in reservations)
    assert are_unique(name for r in reservations for name in r.names)
    assert all(r.names for r in reservations)
    assert not nat or nat.gateway not in {r.address for r in reservations}
    assert are_unique((g.host, g.management.address) for g in guests if g.management)
    assert are_unique(guest.index for guest in guests)
    assert are_unique(guest.uuid for guest in guests)
    assert are_unique(tunnel.key for tunnel in state.network.tunnels)
    links = (*state.network.patches, *state.network.tunnels)
    assert are_unique(link.name for link in links)


@every_time
@given(specs(), inventories())
def test_domains_hostnames_and_paths_are_unique(spec: Spec, hosts: Hosts) -> None:
    machines = build(spec, hosts=hosts, number=NUMBER).machines

    assert are_unique(guest.name for guest in machines)
    assert are_unique(guest.domain for guest in machines)
    files = [
        (guest.host, path)
        for guest in machines
        for path in (guest.disk, guest.seed, guest.xml, guest.console)
        if path
    ]
    assert are_unique(files)


@every_time
@given(specs(), inventories())
def test_links_join_what_the_spec_joins_and_nothing_else(
    spec: Spec, hosts: Hosts
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    group = components(*joined(state))
    wanted = components(
        (bridge.name for bridge in spec.network.bridges),
        spec.network.bridge_connections,
    )

    names = {(b.host, b.device): b.name for b in state.network.bridges}
    for one, name in names.items():
        for other, other_name in names.items():
            together = wanted[name] == wanted[other_name]
            assert (group[one] == group[other]) is together


@every_time
@given(specs(with_loops=False), inventories())
def test_links_form_trees_when_the_spec_has_no_loop(spec: Spec, hosts: Hosts) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    nodes, edges = joined(state)

    trees = set(components(nodes, edges).values())
    assert len(edges) == len(nodes) - len(trees)
    assert not any(bridge.rstp for bridge in state.network.bridges)


@every_time
@given(specs(), inventories())
def test_rstp_is_on_exactly_where_links_form_a_loop(spec: Spec, hosts: Hosts) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    nodes, edges = joined(state)
    group = components(nodes, edges)

    for bridge in state.network.bridges:
        mine = group[bridge.host, bridge.device]
        size = sum(1 for node in nodes if group[node] == mine)
        links = sum(1 for one, _ in edges if group[one] == mine)
        assert bridge.rstp is (links >= size)


@every_time
@given(specs(), inventories())
def test_every_interface_finds_its_bridge_on_the_guests_host(
    spec: Spec, hosts: Hosts
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    present = {(bridge.host, bridge.device) for bridge in state.network.bridges}
    for guest in state.guests:
        for interface in guest.interfaces:
            assert (guest.host, interface.device) in present
    nat = state.network.nat
    assert nat is None or (state.main.name, nat.external_device) in present


@every_time
@given(specs(), inventories())
def test_request_for_an_address_gets_the_reserved_one(spec: Spec, hosts: Hosts) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    external = spec.network.external_bridge
    graph = build_components(spec.network)
    nat = state.network.nat
    reserved = {r.mac: r.address for r in nat.reservations} if nat else {}
    machines = expand(spec).spec.machines
    for machine, guest in zip(machines, state.guests, strict=True):
        for wanted, interface in zip(machine.interfaces, guest.interfaces, strict=True):
            reaches = external and graph.are_connected(wanted.attached_to, external)
            assert interface.dhcp is bool(reaches and wanted.ip is None)
            if interface.dhcp:
                assert interface.address == reserved[interface.mac]
            else:
                assert interface.address == (wanted.ip or "")
        assert sum(1 for i in guest.interfaces if i.dhcp and i.gateway) <= 1


@every_time
@given(specs(), inventories(), st.randoms(use_true_random=False))
def test_same_input_gives_the_same_bytes_in_any_order_of_hosts(
    spec: Spec, hosts: Hosts, random: object
) -> None:
    shuffled = list(hosts)
    random.shuffle(shuffled)

    first = build(spec, hosts=hosts, number=NUMBER).model_dump_json()

    assert build(spec, hosts=shuffled, number=NUMBER).model_dump_json() == first
    assert State.model_validate_json(first).model_dump_json() == first


@every_time
@given(specs(), inventories())
def test_building_again_on_the_previous_state_changes_nothing(
    spec: Spec, hosts: Hosts
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    assert build(spec, hosts=hosts, number=NUMBER, previous=state) == state


@every_time
@given(specs(), inventories(), st.data())
def test_removing_a_machine_and_adding_it_first_moves_no_other(
    spec: Spec, hosts: Hosts, data: st.DataObject
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)
    if not spec.machines:
        return

    gone = data.draw(st.sampled_from(spec.machines))
    rest = tuple(m for m in spec.machines if m is not gone)
    without = spec.model_copy(update={"machines": rest})
    again = spec.model_copy(update={"machines": (gone, *rest)})
    smaller = build(without, hosts=hosts, number=NUMBER, previous=state)
    larger = build(again, hosts=hosts, number=NUMBER, previous=smaller)

    for after in (smaller, larger):
        for guest in expand(without).spec.machines:
            old, new = state.guest(guest.name), after.guest(guest.name)
            assert new == old
        assert all(golden in state.goldens for golden in smaller.goldens)
        homes = {b.name: b.host for b in reversed(state.network.bridges)}
        assert {b.name: b.host for b in reversed(after.network.bridges)} == homes


@every_time
@given(specs(number=0), specs(number=1023), inventories())
def test_two_testbeds_share_no_device_subnet_or_key(
    one: Spec, other: Spec, hosts: Hosts
) -> None:
    first = build(one, hosts=hosts, number=0, name="one")
    second = build(other, hosts=hosts, number=1023, name="other")

    assert not set(devices(first)) & set(devices(second))
    assert not subnets(first) & subnets(second)
    assert not {t.key for t in first.network.tunnels} & {
        t.key for t in second.network.tunnels
    }
    assert all(0 < t.key < 1 << 24 for t in second.network.tunnels)


def subnets(state: State) -> set[str]:
    found = {management.subnet for management in state.network.management}
    return found | ({state.network.nat.subnet} if state.network.nat else set())
