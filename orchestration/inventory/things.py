"""Lists the things on a host that carry our tags, of any testbed.

One bounded look-up per host over the kept connections: libvirt's domains and networks,
both tables of Open vSwitch, the network devices, the folders. `drift.py` compares it
with the state; the web lists the things of no testbed as orphans. Nothing is decided or
changed here.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath

from orchestration.hosts import Host
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.facts.domains import DomainFacts
from orchestration.providers.libvirt.networks import NetworkFacts
from orchestration.providers.linux import dnsmasq, firewall, ip_link
from orchestration.providers.linux.firewall import Firewall
from orchestration.providers.linux.ip_link import Link
from orchestration.providers.ovs import flows, inventory
from orchestration.providers.ovs.inventory import SwitchThing
from orchestration.providers.ovs.mirrors import CAPTURE
from orchestration.transport.base import Scope, command

# The files of guests that are looked for in the folders of artefacts.
DISK_FILE = "-disk.qcow2"
GUEST_FILES = (DISK_FILE, "-seed.iso")
# The names of `state/names.py`: taps of guests; ends of the way out and of links.
TAP = re.compile(r"t\d{1,4}g\d+i(\d+|m)")
VETH = re.compile(r"(t\d{1,4})(v[nb]|w\d+[ab])")
NAT = re.compile(r"t\d{1,4}nat")
NUMBER = re.compile(r"(t\d{1,4})(?:\D|$)")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
ARTEFACTS = "artefacts"
ABSENT = "No such file or directory"
BLOCK_BYTES = 512


class ThingKind(StrEnum):
    """The kinds of things, in the order in which they can be deleted."""

    DOMAIN = "domain"
    PORT = "port"
    BRIDGE = "bridge"
    LINK = "link"
    NETWORK = "network"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing with our tag. `testbed` is empty when only its name is ours.

    `label` is the user's own name for it (guest, bridge, link). `place` is its parent:
    a port's bridge, a network's device, a folder's parent.
    """

    kind: ThingKind
    name: str
    testbed: str
    label: str = ""
    place: str = ""
    is_active: bool = True


# Testbed and guest by a thing's mark; empty without one. A network has no guest.
Owner = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything of ours on a host; `plugs` maps each tap to its bridge.

    `owners` maps the name of each domain and network, ours or not, to testbed and guest.
    `files` are the guests' disks and seeds, each as its testbed and its name, with the
    bytes that they take on the host's disk; None where they could not be listed. `bridges` and `ports` are those of Open vSwitch,
    `links` the kernel's devices, all by name and of any owner; `on_bridge` are the
    ports of each bridge, `reflowed` our bridges whose flows somebody changed. `served`
    are the networks whose dnsmasq runs, None where there was none of ours to look for.
    `firewall` is None where there is none, and `tables` are the testbeds' own ones.
    """

    things: tuple[Thing, ...] = ()
    domains: tuple[DomainFacts, ...] = ()
    plugs: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[tuple[ThingKind, str], Owner] = field(default_factory=dict)
    files: Mapping[tuple[str, str], int] | None = None
    bridges: Mapping[str, SwitchThing] = field(default_factory=dict)
    ports: Mapping[str, SwitchThing] = field(default_factory=dict)
    on_bridge: Mapping[str, Sequence[SwitchThing]] = field(default_factory=dict)
    reflowed: frozenset[str] = frozenset()
    links: Mapping[str, Link] = field(default_factory=dict)
    served: frozenset[str] | None = None
    firewall: Firewall | None = None
    tables: Mapping[str, Firewall] = field(default_factory=dict)

    def names(self, kind: ThingKind, testbed: str) -> dict[str, Thing]:
        """Return one testbed's things of a kind by their names."""
        return {
            thing.name: thing
            for thing in self.things
            if thing.kind is kind and thing.testbed == testbed
        }


def observe(host: Host, *, scope: Scope) -> Inventory:
    """Read a host's things. Raises: HostUnreachable, NetworkFailed, LibvirtFailed."""
    found = domains.observe(host.libvirt)
    nets = networks.observe(host.libvirt)
    bridges, ports = inventory.observe(host.transport, scope=scope)
    links = ip_link.links(host.transport, scope=scope, counted=True)
    folders, files = _folders(host, scope)
    things = [
        *_domains(found),
        *_ports(bridges, ports),
        *_bridges(bridges),
        *_veths(links, _owners(bridges, nets)),
        *_networks(nets),
        *folders,
    ]
    return Inventory(
        tuple(things),
        found,
        _plugs(ports, links),
        _marks(found, nets),
        files,
        bridges={bridge.name: bridge for bridge in bridges},
        ports={port.name: port for port in ports},
        on_bridge=_by_bridge(ports),
        reflowed=_reflowed(host, bridges, scope),
        links=links,
        served=_served(host, nets, scope),
        firewall=firewall.observe(host.transport, scope=scope),
        tables=firewall.tables(host.transport, scope=scope),
    )


def _by_bridge(ports: Sequence[SwitchThing]) -> dict[str, list[SwitchThing]]:
    found: dict[str, list[SwitchThing]] = {}
    for port in ports:
        found.setdefault(port.bridge, []).append(port)
    return found


def _reflowed(
    host: Host, bridges: Sequence[SwitchThing], scope: Scope
) -> frozenset[str]:
    """Look at the flows of our bridges that follow no controller."""
    if not host.state.has_network:
        return frozenset()
    plain = [b.name for b in bridges if b.testbed and not b.settings["controller"]]
    return flows.altered(host.transport, plain, scope=scope)


def _served(
    host: Host, nets: Sequence[NetworkFacts], scope: Scope
) -> frozenset[str] | None:
    """Look for dnsmasq where an active NAT network of ours needs it: on main."""
    ours = [net for net in nets if net.testbed and net.is_active]
    if not (host.state.has_network and any(NAT.fullmatch(n.device) for n in ours)):
        return None
    return dnsmasq.running(host.transport, scope=scope)


def _domains(found: Sequence[DomainFacts]) -> Iterator[Thing]:
    for facts in found:
        if facts.testbed:
            yield Thing(
                ThingKind.DOMAIN,
                facts.name,
                facts.testbed,
                label=facts.guest,
                is_active=facts.is_active,
            )


def _bridges(bridges: Sequence[SwitchThing]) -> Iterator[Thing]:
    for bridge in bridges:
        if bridge.testbed:
            yield Thing(ThingKind.BRIDGE, bridge.name, bridge.testbed, bridge.label)


def _ports(
    bridges: Sequence[SwitchThing], ports: Sequence[SwitchThing]
) -> Iterator[Thing]:
    """Yield the ports of links; a capture's mirror ends with it, or with its bridge."""
    internal = {bridge.name for bridge in bridges}
    for port in ports:
        is_link = port.name not in internal and CAPTURE not in port.ids
        if port.testbed and is_link:
            yield Thing(
                ThingKind.PORT, port.name, port.testbed, port.label, port.bridge
            )


def _networks(nets: Sequence[NetworkFacts]) -> Iterator[Thing]:
    for net in nets:
        if net.testbed:
            yield Thing(
                ThingKind.NETWORK,
                net.name,
                net.testbed,
                place=net.device,
                is_active=net.is_active,
            )


def _marks(
    found: Sequence[DomainFacts], nets: Sequence[NetworkFacts]
) -> dict[tuple[ThingKind, str], Owner]:
    marks = {(ThingKind.DOMAIN, d.name): (d.testbed, d.guest) for d in found}
    return marks | {(ThingKind.NETWORK, net.name): (net.testbed, "") for net in nets}


def _veths(links: Mapping[str, Link], owners: Mapping[str, str]) -> Iterator[Thing]:
    """Yield the veth devices; without a tag, their number names their testbed."""
    for link in links.values():
        if (found := VETH.fullmatch(link.name)) and link.peer:
            owner = owners.get(found[1], "")
            yield Thing(
                ThingKind.LINK, link.name, owner, place=link.master, is_active=link.up
            )


def _owners(
    bridges: Sequence[SwitchThing], nets: Sequence[NetworkFacts]
) -> dict[str, str]:
    """Return the owner of each number (`t12`), from things that carry a tag as well."""
    tagged = [(bridge.name, bridge.testbed) for bridge in bridges]
    tagged += [(net.device, net.testbed) for net in nets]
    found = ((NUMBER.match(name), owner) for name, owner in tagged if owner)
    return {match[1]: owner for match, owner in found if match}


def _plugs(ports: Sequence[SwitchThing], links: Mapping[str, Link]) -> dict[str, str]:
    plugs = {name: link.master for name, link in links.items() if TAP.fullmatch(name)}
    plugs |= {port.name: port.bridge for port in ports if TAP.fullmatch(port.name)}
    return plugs


def _folders(
    host: Host, scope: Scope
) -> tuple[list[Thing], dict[tuple[str, str], int] | None]:
    """List the testbeds' folders, which contain one of artefacts, and guests' files.

    Main's are files of this machine, also where main only rehearses.
    """
    root = host.state.projects_dir
    if not root:
        return [], None
    paths = _local_paths(root) if host.state.is_main else _paths(host, root, scope)
    places = {
        PurePosixPath(path).relative_to(root).parts: taken
        for path, taken in (paths or {}).items()
    }
    things = [
        Thing(ThingKind.FOLDER, place[0], place[0], place=root)
        for place in sorted(places)
        if place[1:] == (ARTEFACTS,) and SLUG.fullmatch(place[0])
    ]
    files = {
        (place[0], place[2]): taken
        for place, taken in places.items()
        if len(place) == 3 and place[1] == ARTEFACTS
    }
    return things, None if paths is None else files


def _local_paths(root: str) -> dict[str, int]:
    folders = [str(path) for path in Path(root).glob(f"*/{ARTEFACTS}")]
    # Matching each of thousands of names as a pattern takes 80 ms.
    files = (file for folder in folders for file in _files_in(folder))
    return dict.fromkeys(folders, 0) | dict(files)


def _files_in(folder: str) -> Iterator[tuple[str, int]]:
    with suppress(OSError), os.scandir(folder) as entries:  # removed just now
        for entry in entries:
            if entry.name.endswith(GUEST_FILES):
                blocks = entry.stat(follow_symlinks=False).st_blocks
                yield entry.path, blocks * BLOCK_BYTES


def _paths(host: Host, root: str, scope: Scope) -> dict[str, int] | None:
    """Find the folders of artefacts and the guests' files in them; None on errors."""
    names = [word for end in GUEST_FILES for word in ("-o", "-name", f"*{end}")][1:]
    files = ("-path", f"*/{ARTEFACTS}/*", "(", *names, ")")
    words = ("(", "-type", "d", "-name", ARTEFACTS, "-o", *files, ")")
    shape = ("-printf", r"%b %p\n")
    find = command("find", root, "-mindepth", "2", "-maxdepth", "3", *words, *shape)
    listed = host.transport.run(find.with_root(), scope=scope, check=False)
    # A folder that was never made, or that goes just now, is no error.
    errors = [line for line in listed.stderr.splitlines() if ABSENT not in line]
    lines = (line.partition(" ") for line in listed.stdout.splitlines())
    found = {p: int(blocks) * BLOCK_BYTES for blocks, _, p in lines if blocks.isdigit()}
    return None if errors else found
