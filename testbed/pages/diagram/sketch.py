"""Draws the diagram of a YAML, before any state exists or when none can be built.

Shows bridges or logical switches, routers, and all guests, clones included, in one
place, because only a state assigns guests to hosts. Guests that this version cannot
bring up are marked. Results are kept, because the testbed's page asks often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from orchestration.amounts import count_of
from orchestration.compose.language.built import missing_for, not_built
from orchestration.compose.language.schema import (
    Android,
    CloudImage,
    Docker,
    ExistingDisk,
    Interface,
    Machine,
    Spec,
)
from orchestration.compose.loader import load_spec
from orchestration.errors import Severity
from testbed.pages.diagram.layout import place
from testbed.pages.diagram.parts import Diagram
from testbed.pages.diagram.scene import (
    Bridge,
    Guest,
    Link,
    Outside,
    Place,
    Plug,
    Scene,
)

HERE = "kvm-compose.yaml"
NAMED = 20


@dataclass(frozen=True, slots=True)
class Sketch:
    """A diagram, and one sentence about what cannot be brought up yet, or ''."""

    diagram: Diagram
    missing: str


@lru_cache(maxsize=16)
def sketch_of(content: bytes) -> Sketch | None:
    """Draw a YAML; None when it cannot be read or has nothing to draw."""
    loaded = load_spec(content)
    spec = loaded.spec
    if spec is None or any(f.severity is Severity.ERROR for f in loaded.findings):
        return None
    scene = sketch_scene(spec)
    if not scene.bridges and not scene.guests:
        return None
    return Sketch(place(scene), not_built(spec))


def sketch_scene(spec: Spec) -> Scene:
    """Read a spec; names that lead nowhere are left out, as `check` reports them."""
    bridges = (*_routers(spec), *_bridges(spec))
    guests = tuple(guest for m in spec.machines for guest in _guests(m, spec))
    links = tuple(_links(spec))
    goldens = sum(machine.scaling is not None for machine in spec.machines)
    note = f"{count_of(len(guests) - goldens, 'guest')}, not on a host yet"
    return Scene(
        places=(Place(HERE, note, icon="file"),),
        bridges=bridges,
        guests=guests,
        links=links,
        tunnels=(),
        outside=_outside(spec),
        summary=_summary(bridges, guests, links),
    )


def _routers(spec: Spec) -> Iterator[Bridge]:
    """Return the routers, as bars without a colour; no guest hangs from them."""
    for name, router in (spec.network.ovn.routers if spec.network.ovn else {}).items():
        kinds = dict.fromkeys(entry.nat_type.value for entry in router.nat)
        notes = [*kinds, *(["dhcp"] if router.dhcp else [])]
        label = ", ".join([f"router {name}", *notes])
        yield Bridge(HERE, _router(name), label, "")


def _bridges(spec: Spec) -> Iterator[Bridge]:
    for bridge in spec.network.bridges:
        yield Bridge(HERE, bridge.name, bridge.name, bridge.name)
    for name, switch in (spec.network.ovn.switches if spec.network.ovn else {}).items():
        yield Bridge(HERE, name, f"{name}  {switch.subnet}", name)


def _links(spec: Spec) -> Iterator[Link]:
    for one, other in spec.network.bridge_connections:
        yield Link(HERE, one, other, f"link of {one} and {other}")
    for name, router in (spec.network.ovn.routers if spec.network.ovn else {}).items():
        for port in router.ports:
            title = (
                f"router {name}, port {port.name}: {port.gateway_ip} on {port.switch}"
            )
            yield Link(HERE, _router(name), port.switch, title)


def _outside(spec: Spec) -> Outside | None:
    """Return the ways outside: the external bridge, or switches with such a port."""
    network = spec.network
    if network.external_bridge is not None:
        return Outside(HERE, "NAT of main", (network.external_bridge,))
    leaving = {
        name: port.localnet.network_name
        for name, switch in (network.ovn.switches if network.ovn else {}).items()
        for port in switch.ports
        if port.localnet
    }
    names = ", ".join(dict.fromkeys(leaving.values()))
    return Outside(HERE, names, tuple(leaving)) if leaving else None


def _guests(machine: Machine, spec: Spec) -> Iterator[Guest]:
    status = "unbuilt" if missing_for(machine, spec) else "written"
    text = _kind(machine)
    if machine.scaling is None:
        yield _guest(machine.name, text, status, machine.interfaces)
        return
    yield Guest(machine.name, HERE, f"golden: {text}", status, ())
    for number, clone in enumerate(machine.scaling.clones):
        name = f"{machine.name}-{number}"
        yield _guest(name, "", status, clone.interfaces)


def _guest(
    name: str, kind: str, status: str, interfaces: tuple[Interface, ...]
) -> Guest:
    plugs = tuple(
        Plug(i.attached_to, i.attached_to, f"{name} on {i.attached_to}")
        for i in interfaces
    )
    words = [next((i.ip for i in interfaces if i.ip), None), kind]
    text = ", ".join(word for word in words if word) or "clone"
    return Guest(name, HERE, text, status, plugs)


def _kind(machine: Machine) -> str:
    kind = machine.kind
    if isinstance(kind, Docker):
        return f"docker {kind.image}"
    if isinstance(kind, Android):
        version = kind.android_api_version
        return f"android {version}" if version is not None else "android"
    disk = kind.libvirt_type
    if isinstance(disk, CloudImage):
        return disk.name
    return "existing disk" if isinstance(disk, ExistingDisk) else "ISO"


def _router(name: str) -> str:
    """Return a router's key, which differs from that of a switch of the same name."""
    return f"router {name}"


def _summary(
    bridges: tuple[Bridge, ...], guests: tuple[Guest, ...], links: tuple[Link, ...]
) -> str:
    """Describe the diagram in words, for users who do not see it."""
    drawn = [bridge.label for bridge in bridges]
    hanging = [
        f"{guest.name} ({', '.join(plug.net for plug in guest.plugs) or 'no network'})"
        for guest in guests[:NAMED]
    ]
    more = f" and {len(guests) - NAMED} more" if len(guests) > NAMED else ""
    return (
        f"As written, on no host yet: {'; '.join(drawn) or 'no network'}. "
        f"Guests: {', '.join(hanging) or 'none'}{more}. Links: {len(links)}."
    )
