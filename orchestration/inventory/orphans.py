"""Finds and deletes orphans: things with our tags that belong to no testbed.

`known_things` lists the things of a testbed's state; all others of an inventory are
orphans. `delete_thing` removes one, after a check that it is still the same thing. The
web knows the testbeds; it decides and asks.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from orchestration.errors import StateError
from orchestration.hosts import Host
from orchestration.inventory.things import ARTEFACTS, SLUG, VETH, Thing, ThingKind
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.linux import ip_link
from orchestration.providers.ovs import bridges
from orchestration.state.model import NetworkState, State
from orchestration.transport.base import Scope, command

# A folder may hold disks of many gigabytes.
DELETE_TIMEOUT_S = 100.0

# Host, kind and name: the identity of a thing.
Key = tuple[str, ThingKind, str]


def known_things(state: State) -> frozenset[Key]:
    """Return all things that belong to a state."""
    return frozenset(_known(state))


def _known(state: State) -> Iterator[Key]:
    for guest in state.machines:
        yield guest.host, ThingKind.DOMAIN, guest.domain
    for bridge in state.network.bridges:
        yield bridge.host, ThingKind.BRIDGE, bridge.device
    for management in state.network.management:
        yield management.host, ThingKind.NETWORK, management.network
    for host in state.used_hosts:
        yield host.name, ThingKind.FOLDER, state.testbed
    yield from _known_links(state.network)


def _known_links(network: NetworkState) -> Iterator[Key]:
    for link in network.links:
        for _, port in link.ports:
            yield link.host, ThingKind.PORT, port
        for device in link.veths:
            yield link.host, ThingKind.LINK, device
    if nat := network.nat:
        yield nat.host, ThingKind.NETWORK, nat.network


def delete_thing(host: Host, thing: Thing, *, scope: Scope) -> bool:
    """Delete one thing; False when it was gone already.

    Raises: ForeignThing (it carries another tag now, or none), StateError,
    HostUnreachable, LibvirtFailed, NetworkFailed, CommandFailed.
    """
    return _DELETERS[thing.kind](host, thing, scope)


def _delete_domain(host: Host, thing: Thing, scope: Scope) -> bool:
    domain = GuestDomain(thing.testbed, thing.label, thing.name)
    domains.destroy(host.libvirt, domain)
    return domains.undefine(host.libvirt, domain)


def _delete_network(host: Host, thing: Thing, scope: Scope) -> bool:
    return networks.delete(host.libvirt, thing.name, testbed=thing.testbed)


def _delete_bridge(host: Host, thing: Thing, scope: Scope) -> bool:
    return bridges.delete_bridge(
        host.transport, thing.name, testbed=thing.testbed, scope=scope
    )


def _delete_port(host: Host, thing: Thing, scope: Scope) -> bool:
    return bridges.delete_port(
        host.transport, thing.name, testbed=thing.testbed, scope=scope
    )


def _delete_link(host: Host, thing: Thing, scope: Scope) -> bool:
    there = ip_link.links(host.transport, scope=scope).get(thing.name)
    if there is None:
        return False
    if not (VETH.fullmatch(thing.name) and there.peer):
        raise _foreign(thing, host)
    return ip_link.delete_link(host.transport, thing.name, scope=scope)


def _delete_folder(host: Host, thing: Thing, scope: Scope) -> bool:
    """Delete a testbed's folder: a slug right below the projects' folder."""
    root = host.state.projects_dir
    if not (root and SLUG.fullmatch(thing.name)):
        raise _foreign(thing, host)
    if host.state.is_main:
        return _delete_local(Path(root, thing.name))
    folder = PurePosixPath(root, thing.name)
    is_ours = command("test", "-d", str(folder / ARTEFACTS)).with_root()
    if host.transport.run(is_ours, scope=scope, check=False).exit_code:
        return False
    remove = command("rm", "-rf", "--", str(folder)).with_root()
    host.transport.run(remove, scope=scope, timeout_s=DELETE_TIMEOUT_S)
    return True


def _delete_local(folder: Path) -> bool:
    if folder.is_symlink() or not (folder / ARTEFACTS).is_dir():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as exc:
        raise StateError(
            f"The folder {folder} could not be removed.",
            hint="Remove it by hand.",
            detail=str(exc),
        ) from exc
    return True


def _foreign(thing: Thing, host: Host) -> StateError:
    return StateError(
        f"The {thing.kind} {thing.name} on {host.state.name} is not what it was; "
        "it is left alone.",
        hint="Look at the list of orphans again.",
    )


_DELETERS: dict[ThingKind, Callable[[Host, Thing, Scope], bool]] = {
    ThingKind.DOMAIN: _delete_domain,
    ThingKind.PORT: _delete_port,
    ThingKind.BRIDGE: _delete_bridge,
    ThingKind.LINK: _delete_link,
    ThingKind.NETWORK: _delete_network,
    ThingKind.FOLDER: _delete_folder,
}
