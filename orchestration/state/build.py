"""Spec → State: every name, place, address and path is decided here and nowhere else.

Takes a checked Spec, the testbed's Identity, its hosts and the image catalogue; values
of the previous state are kept while they are valid. The order of decisions: hosts,
places, bridges and links, MACs and addresses, guests. Pure: the same input gives the
same state, byte for byte. `project/folder.py` reads and writes the files.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network

from orchestration.compose.catalogue import Image
from orchestration.compose.language.schema import Spec
from orchestration.compose.pools import DEFAULT_POOLS, Pools
from orchestration.state.addresses import (
    Addressing,
    InterfaceKey,
    assign_addresses,
    build_addressing,
    dns_names,
    host_address,
)
from orchestration.state.clones import Expanded, expand
from orchestration.state.disk_bases import Bases, DiskFile
from orchestration.state.guests import Guests
from orchestration.state.model import (
    HostPortState,
    HostState,
    ManagementState,
    NatState,
    NetworkState,
    PatchState,
    Reservation,
    State,
    TunnelState,
)
from orchestration.state.mtu import ETHERNET, JUMBO, guest_mtu
from orchestration.state.names import MANAGEMENT_INTERFACE, KeptNames, Names
from orchestration.state.placement import Placement, Taken, order_hosts, place
from orchestration.state.topology import (
    Components,
    build_bridges,
    build_components,
    build_links,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A testbed's identity, which neither the YAML nor the hosts determine.

    `number` is unique among the testbeds of this installation; `directory` and
    `identity_file` are paths on the main host. Testbeds with the same `golden_owner`
    share golden images.
    """

    testbed: str
    number: int
    directory: str
    yaml_sha256: str
    identity_file: str
    public_key: str
    golden_owner: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """The settings of an installation for all its testbeds."""

    tunnel_kind: str = "vxlan"
    pools: Pools = DEFAULT_POOLS


@dataclass(frozen=True, slots=True)
class Inputs:
    """The facts about the files and passwords that a spec refers to.

    `script_sha256` and `disk_files` are by paths as written (contexts of golden images
    by `context_key`), `password_hashes` by passwords. `project.inputs` reads them.
    """

    script_sha256: Mapping[str, str] = field(default_factory=dict)
    disk_files: Mapping[str, DiskFile] = field(default_factory=dict)
    password_hashes: Mapping[str, str] = field(default_factory=dict)


DEFAULT_SITE = Site()


def build_state(
    spec: Spec,
    inputs: Inputs,
    *,
    identity: Identity,
    hosts: Sequence[HostState],
    catalogue: Mapping[str, Image],
    previous: State | None = None,
    site: Site = DEFAULT_SITE,
    taken: Mapping[str, Taken] | None = None,
    closed: Collection[str] = (),
    most_mtu: int = JUMBO,
) -> State:
    """Build the state of a spec on these hosts; `taken` is by host.

    `closed` hosts get no new guests. `most_mtu` bounds the guests' MTU: running guests keep a smaller one.

    Raises: StateError (no host, a full subnet, faults that the checks report).
    """
    ordered, expanded = order_hosts(hosts), expand(spec)
    placement = place(expanded.spec, ordered, previous, taken=taken, closed=closed)
    decided = _decide(expanded, identity, placement, site, previous)
    patches, tunnels = _links(decided, site.tunnel_kind)
    mtu = _mtu(decided, most_mtu)
    guests, goldens = Guests(
        names=decided.names,
        directory=identity.directory,
        placement=decided.placement,
        bases=_bases(identity, decided, catalogue, inputs.disk_files),
        name_server=_name_server(decided),
        addressing=decided.addressing,
        subnet=decided.nat_subnet,
        mtu=mtu,
        management=_management_addresses(decided),
        scripts=inputs.script_sha256,
        password_hashes=inputs.password_hashes,
        previous={g.name: g for g in previous.machines} if previous else {},
        golden_owner=identity.golden_owner,
        previous_goldens={g.name: g for g in previous.goldens} if previous else {},
    ).build(expanded)
    return State(
        **asdict(identity),
        hosts=ordered,
        network=_network(decided, patches, tunnels, mtu),
        guests=guests,
        goldens=goldens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decisions that precede networks and guests."""

    spec: Spec
    names: Names
    placement: Placement
    components: Components
    addressing: Addressing
    nat_subnet: IPv4Network
    management_subnet: IPv4Network
    previous: State | None


def _decide(
    expanded: Expanded,
    identity: Identity,
    placement: Placement,
    site: Site,
    previous: State | None,
) -> Decided:
    spec, names = expanded.spec, _names(identity, previous)
    subnet = site.pools.nat_subnet(names.number)
    components = build_components(spec.network, previous)
    return Decided(
        spec=spec,
        names=names,
        placement=placement.with_on_main(m.name for m in expanded.started),
        components=components,
        addressing=build_addressing(
            expanded.all_started, names, components, subnet, previous
        ),
        nat_subnet=subnet,
        management_subnet=site.pools.management_subnet(names.number),
        previous=previous,
    )


def _names(identity: Identity, previous: State | None) -> Names:
    """Return the testbed's names; domains and networks of its state keep theirs."""
    kept = KeptNames()
    if previous is not None and previous.number == identity.number:
        network = previous.network
        kept = KeptNames(
            nat=network.nat.network if network.nat else "",
            management=network.management[0].network if network.management else "",
            domains={guest.name: guest.domain for guest in previous.machines},
        )
    return Names(identity.testbed, identity.number, kept)


def _links(
    decided: Decided, tunnel_kind: str
) -> tuple[tuple[PatchState, ...], tuple[TunnelState, ...]]:
    return build_links(
        decided.spec.network,
        names=decided.names,
        placement=decided.placement,
        tunnel_kind=tunnel_kind,
        previous=decided.previous,
    )


def _mtu(decided: Decided, most_mtu: int) -> int:
    """Return the guests' MTU; a host's own network card carries plain Ethernet."""
    placement = decided.placement
    names = {h for hosts in placement.bridges.values() for h in hosts}
    names |= {placement.main.name, *placement.guests.values()}
    used = [placement.hosts[name] for name in names]
    has_ports = bool(decided.spec.network.network_interfaces)
    return guest_mtu(used, at_most=min(most_mtu, ETHERNET if has_ports else JUMBO))


def _network(
    decided: Decided,
    patches: tuple[PatchState, ...],
    tunnels: tuple[TunnelState, ...],
    mtu: int,
) -> NetworkState:
    network, names = decided.spec.network, decided.names
    bridges = build_bridges(
        network.bridges,
        names=names,
        placement=decided.placement,
        components=decided.components,
    )
    return NetworkState(
        bridges=bridges,
        patches=patches,
        tunnels=tunnels,
        nat=_nat(decided, mtu),
        management=_management(decided),
        cards=tuple(
            HostPortState(
                host=decided.placement.main.name,
                device=names.bridge(card.testbed_bridge),
                nic=card.nic_name,
            )
            for card in network.network_interfaces
        ),
    )


def _nat(decided: Decided, mtu: int) -> NatState | None:
    external = decided.spec.network.external_bridge
    if external is None:
        return None
    names, addressing = decided.names, decided.addressing
    subnet = decided.nat_subnet
    dns = dns_names(names.testbed, addressing.reserved)
    return NatState(
        host=decided.placement.main.name,
        network=names.nat_network,
        device=names.nat_device,
        subnet=str(subnet),
        gateway=host_address(subnet),
        mtu=mtu,
        reservations=tuple(
            Reservation(mac=addressing.macs[key], address=address, names=dns[key])
            for key, address in addressing.reserved.items()
        ),
        external_device=names.bridge(external),
        veth_network_end=names.veth_network_end,
        veth_bridge_end=names.veth_bridge_end,
    )


def _name_server(decided: Decided) -> str:
    """Return the address of the NAT network's dnsmasq; empty without that network."""
    if decided.spec.network.external_bridge is None:
        return ""
    return host_address(decided.nat_subnet)


def _management(decided: Decided) -> tuple[ManagementState, ...]:
    if not decided.spec.testbed_options.management_network:
        return ()
    names, placement = decided.names, decided.placement
    subnet = decided.management_subnet
    used = set(placement.guests.values())
    return tuple(
        ManagementState(
            host=host,
            network=names.management_network,
            device=names.management_device,
            subnet=str(subnet),
            address=host_address(subnet),
        )
        for host in placement.hosts
        if host in used
    )


def _bases(
    identity: Identity,
    decided: Decided,
    catalogue: Mapping[str, Image],
    files: Mapping[str, DiskFile],
) -> Bases:
    main = decided.placement.main
    directory = identity.directory
    return Bases(directory=directory, main=main, catalogue=catalogue, files=files)


def _management_addresses(decided: Decided) -> dict[str, str]:
    """Return each guest's management address, counted on each host separately."""
    if not decided.spec.testbed_options.management_network:
        return {}
    previous = decided.previous
    kept: dict[InterfaceKey, str] = {
        (guest.name, MANAGEMENT_INTERFACE): guest.management.address
        for guest in (previous.machines if previous else ())
        if guest.management
    }
    on_host: dict[str, list[InterfaceKey]] = {}
    for guest, host in decided.placement.guests.items():
        on_host.setdefault(host, []).append((guest, MANAGEMENT_INTERFACE))
    return {
        guest: address
        for keys in on_host.values()
        for (guest, _), address in assign_addresses(
            decided.management_subnet, keys, kept=kept, static={}
        ).items()
    }
