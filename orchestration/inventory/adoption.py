"""Orphans of a testbed that is still there, as a part of what it may have deployed.

The next `up` or `down` removes what may exist and is not wanted. So an adopted thing is
put into that record with just what removing it needs: names, host, folders. Pure: the
known state, the things and the hosts in, a larger state out, and what could not be
taken.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.inventory.orphans import known_things
from orchestration.inventory.things import ARTEFACTS, Thing, ThingKind
from orchestration.state.model import (
    BridgeState,
    GuestState,
    HostState,
    ManagementState,
    NatState,
    PatchState,
    State,
)
from orchestration.state.model.images import ImageState
from orchestration.state.names import Names

NO_IMAGE = ImageState(name="", sha256="", format="", path="", main_path="")
WHY_NOT = {
    ThingKind.DOMAIN: "has not the name that a guest of this testbed would have",
    ThingKind.NETWORK: "has not the name of a network of this testbed",
    ThingKind.LINK: "has not the number of this testbed",
    ThingKind.PORT: "is on a bridge that is not the testbed's",
    ThingKind.FOLDER: "is on a host where the testbed has nothing else",
    ThingKind.BRIDGE: "is on a host that is not known",
}
ORDER = (
    ThingKind.DOMAIN,
    ThingKind.BRIDGE,
    ThingKind.PORT,
    ThingKind.NETWORK,
    ThingKind.LINK,
    ThingKind.FOLDER,
)


@dataclass(frozen=True, slots=True)
class Adoption:
    """The larger state, and a reason for each thing that it cannot hold."""

    state: State
    left: list[tuple[str, Thing, str]]


def adopt(
    known: State,
    orphans: Sequence[tuple[str, Thing]],
    hosts: Mapping[str, HostState],
) -> Adoption:
    """Take orphans, pairs of host and thing, into the state of what may exist."""
    state, taken = known, set(known_things(known))
    ordered = sorted(orphans, key=lambda orphan: ORDER.index(orphan[1].kind))
    for host, thing in ordered:
        if host in hosts and (host, thing.kind, thing.name) not in taken:
            state = _with(state, hosts[host], thing)
            taken.add((host, thing.kind, thing.name))
            if thing.kind in (ThingKind.NETWORK, ThingKind.LINK):
                taken |= known_things(state)  # one may bring others along
    spoken_for = known_things(state)
    left = [
        (host, thing, WHY_NOT[thing.kind])
        for host, thing in ordered
        if (host, thing.kind, thing.name) not in spoken_for
    ]
    return Adoption(state, left)


def _with(state: State, host: HostState, thing: Thing) -> State:
    match thing.kind:
        case ThingKind.DOMAIN:
            return _with_guest(state, host, thing)
        case ThingKind.BRIDGE:
            return _with_bridge(state, host, thing)
        case ThingKind.PORT:
            return _with_port(state, host, thing)
        case ThingKind.NETWORK | ThingKind.LINK:
            return _with_network(state, host, thing)
        case ThingKind.FOLDER:
            return state


def _with_guest(state: State, host: HostState, thing: Thing) -> State:
    names = Names(state.testbed, state.number)
    if names.domain(thing.label) != thing.name:
        return state
    folder = PurePosixPath(host.projects_dir, state.testbed, ARTEFACTS)
    guest = GuestState(
        name=thing.label,
        index=0,
        host=host.name,
        domain=thing.name,
        uuid="",
        user="",
        cpus=0,
        memory_mib=0,
        expand_gib=0,
        image=NO_IMAGE,
        artefacts_dir=str(folder),
        disk=str(folder / f"{thing.label}-disk.qcow2"),
        seed="",
        xml=str(folder / f"{thing.label}-domain.xml"),
        console=str(folder / f"{thing.label}-console.log"),
        interfaces=(),
        management=None,
        environment={},
        spec_hash="",
    )
    return _on(state, host).model_copy(update={"guests": (*state.guests, guest)})


def _with_bridge(state: State, host: HostState, thing: Thing) -> State:
    bridge = BridgeState(
        name=thing.label or thing.name,
        host=host.name,
        device=thing.name,
        datapath=host.datapath,
    )
    bridges = (*state.network.bridges, bridge)
    return _network(_on(state, host), bridges=bridges)


def _with_port(state: State, host: HostState, thing: Thing) -> State:
    bridges = {(bridge.host, bridge.device) for bridge in state.network.bridges}
    if (host.name, thing.place) not in bridges:
        return state
    patch = PatchState(
        name=thing.label or thing.name,
        host=host.name,
        device_a=thing.place,
        device_b=thing.place,
        port_a=thing.name,
        port_b=thing.name,
    )
    return _network(state, patches=(*state.network.patches, patch))


def _with_pair(state: State, host: HostState, thing: Thing) -> State:
    """Take a link that is a pair of devices, by either of its ends."""
    stem = thing.name[:-1]
    patch = PatchState(
        name=stem,
        host=host.name,
        device_a="",
        device_b="",
        port_a=f"{stem}a",
        port_b=f"{stem}b",
        is_veth=True,
    )
    return _network(_on(state, host), patches=(*state.network.patches, patch))


def _with_network(state: State, host: HostState, thing: Thing) -> State:
    names = Names(state.testbed, state.number)
    if thing.kind is ThingKind.LINK and thing.name.startswith(names.veth_prefix):
        return _with_pair(state, host, thing)
    if thing.name == names.management_network:
        management = ManagementState(
            host=host.name,
            network=thing.name,
            device=thing.place,
            subnet="",
            address="",
        )
        found = (*state.network.management, management)
        return _network(_on(state, host), management=found)
    way_out = (names.nat_network, names.veth_network_end, names.veth_bridge_end)
    if thing.name not in way_out or not host.is_main or state.network.nat:
        return state
    nat = NatState(
        host=host.name,
        network=names.nat_network,
        device=names.nat_device,
        subnet="",
        gateway="",
        mtu=0,
        reservations=(),
        external_device="",
        veth_network_end=names.veth_network_end,
        veth_bridge_end=names.veth_bridge_end,
    )
    return _network(state, nat=nat)


def _on(state: State, host: HostState) -> State:
    """Return the state with a host that it may not have used so far."""
    if host.name in {known.name for known in state.hosts}:
        return state
    return state.model_copy(update={"hosts": (*state.hosts, host)})


def _network(state: State, **changes: object) -> State:
    network = state.network.model_copy(update=changes)
    return state.model_copy(update={"network": network})
