"""The resources of a state: the objects of instructions, with host and key.

`lifecycle.py` fills instructions with them; the actions find the object in the state by
the resource's host and key: a guest's name, a bridge's device, a link's name, an
image's name, a host's name, or one of the constants here.
"""

from collections.abc import Iterable
from dataclasses import replace

from orchestration.plan.model import Resource, Resources
from orchestration.state.diff.changes import Change, ChangeKind
from orchestration.state.model import GuestState, LinkKind, State

NAT_KEY = "nat"
MANAGEMENT_KEY = "management"


def whole_testbed(state: State) -> Resources:
    """Return the testbed itself, on main."""
    return (Resource(state.testbed, state.main.name, state.testbed),)


def host_resources(state: State) -> Resources:
    """Return the hosts that the testbed uses, main first."""
    return tuple(Resource(h.name, h.name, h.name) for h in state.used_hosts)


def clone_host_resources(state: State) -> Resources:
    """Return the hosts on which clones lie over golden images that are prepared."""
    return tuple(r for r in host_resources(state) if state.clones_on(r.host))


def guest_resources(guests: Iterable[GuestState], *, host: str = "") -> Resources:
    """Return guests, each on its host, or all on the host given."""
    return tuple(Resource(g.name, host or g.host, g.name) for g in guests)


def network_resources(state: State) -> Resources:
    """Return the libvirt networks: NAT on main, management where guests are."""
    nat, management = state.network.nat, state.network.management
    first = (Resource("NAT", nat.host, NAT_KEY),) if nat else ()
    return first + tuple(
        Resource(f"management on {m.host}", m.host, MANAGEMENT_KEY) for m in management
    )


def bridge_resources(state: State) -> Resources:
    """Return each bridge on each of its hosts; only the home's name has no host."""
    homes: set[str] = set()
    resources: list[Resource] = []
    for bridge in state.network.bridges:
        is_stretch = bridge.name in homes
        name = f"{bridge.name} on {bridge.host}" if is_stretch else bridge.name
        resources.append(Resource(name, bridge.host, bridge.device))
        homes.add(bridge.name)
    return tuple(resources)


def link_resources(state: State) -> Resources:
    """Return the links on each of their hosts; an end of a tunnel names its host.

    Without those on hosts that a part of a testbed does not use.
    """
    hosts = {host.name for host in state.used_hosts}
    return tuple(
        Resource(
            f"{link.name} on {link.host}"
            if link.kind is LinkKind.TUNNEL
            else link.name,
            link.host,
            link.key,
        )
        for link in state.network.links
        if link.host in hosts
    )


def image_resources(state: State) -> Resources:
    """Return the images that are brought into main's store for guests' disks."""
    images = (guest.image for guest in state.machines if not guest.image.golden)
    names = dict.fromkeys(image.name for image in images)
    return tuple(Resource(name, state.main.name, name) for name in names)


def golden_resources(state: State) -> Resources:
    """Return the golden images that have to be prepared, on main."""
    return guest_resources(g.guest for g in state.goldens if g.is_prepared)


def remote_image_resources(state: State, *, of_clones: bool = False) -> Resources:
    """Return each image once for each other host that needs it.

    The images of clones go there with them and serve no other guest.
    """
    remote = [guest for guest in state.guests if guest.host != state.main.name]
    first = dict.fromkeys((g.image.name, g.host) for g in remote if g.golden)
    others = dict.fromkeys((g.image.name, g.host) for g in remote if not g.golden)
    wanted = first if of_clones else [place for place in others if place not in first]
    return tuple(Resource(f"{name} to {host}", host, name) for name, host in wanted)


def remote_guest_resources(state: State) -> Resources:
    """Return the guests that are not on main, each on its host."""
    main = state.main.name
    return guest_resources(guest for guest in state.guests if guest.host != main)


def changed_resources(changes: Iterable[Change], kind: ChangeKind) -> Resources:
    """Return the resources that a difference changes in one way, each once."""
    found = (Resource(c.name, c.host, c.key) for c in changes if c.kind is kind)
    return apart(found)


def apart(resources: Iterable[Resource]) -> Resources:
    """Return each object once, and add the host to a repeated name."""
    found: dict[tuple[str, str], Resource] = {}
    names: set[str] = set()
    for resource in resources:
        place, name = (resource.host, resource.key), resource.name
        if place not in found:
            named = f"{name} on {resource.host}" if name in names else name
            found[place] = replace(resource, name=named)
            names.add(named)
    return tuple(found.values())
