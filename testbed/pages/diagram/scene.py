"""The contents of a diagram, from any source: places, bridges, guests and links.

`scene_of` reads them from a state and the observation; `sketch.py` reads them from a
YAML. `layout.py` computes their positions. Pure.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from orchestration.amounts import count_of
from orchestration.state.model import (
    GuestState,
    HostState,
    InterfaceState,
    State,
    TunnelState,
)
from orchestration.state.selection import guest_groups
from testbed.pages.traffic import Rate

NO_LOADS: Mapping[str, float] = MappingProxyType({})
NO_RATES: Mapping[str, Rate] = MappingProxyType({})
LOAD_STEP = 10


@dataclass(frozen=True, slots=True)
class Place:
    """One host, or the stand-in for all of them; `management` is a subnet, or ''.

    `group` selects its guests, '' where there is none to select.
    """

    name: str
    note: str
    is_main: bool = False
    management: str = ""
    icon: str = "host"
    group: str = ""


@dataclass(frozen=True, slots=True)
class Bridge:
    """One bridge in a place; those of one `net` have one colour, '' has none.

    `group` selects the guests on it, on all hosts, '' where there is none.
    """

    place: str
    device: str
    label: str
    net: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Plug:
    """One interface of a guest; `title` is the text of its line.

    `rate` is its traffic, None where it is not known.
    """

    device: str
    net: str
    title: str
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest; `text` stands below its name.

    `load` is how much of its vCPUs it uses, in percent; None where it is not known.
    """

    name: str
    place: str
    text: str
    status: str
    plugs: tuple[Plug, ...]
    load: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link between two bridges of one place."""

    place: str
    device_a: str
    device_b: str
    title: str


@dataclass(frozen=True, slots=True)
class Outside:
    """The way outside, and the bridges of one place that lead there."""

    place: str
    note: str
    devices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """The contents of a diagram; `summary` describes them in words."""

    places: tuple[Place, ...]
    bridges: tuple[Bridge, ...]
    guests: tuple[Guest, ...]
    links: tuple[Link, ...]
    tunnels: tuple[TunnelState, ...]
    outside: Outside | None
    summary: str

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Return all known rates."""
        plugs = (plug for guest in self.guests for plug in guest.plugs)
        return tuple(plug.rate for plug in plugs if plug.rate)


def scene_of(
    state: State,
    statuses: Mapping[str, str],
    loads: Mapping[str, float] = NO_LOADS,
    rates: Mapping[str, Rate] = NO_RATES,
) -> Scene:
    """Read a state. `statuses` are libvirt's words by guest; missing is unknown.

    `loads` are percents by guest, `rates` are by tap.
    """
    nat = state.network.nat
    groups = guest_groups(state)["bridge"]
    return Scene(
        places=_places(state),
        bridges=tuple(
            Bridge(
                b.host,
                b.device,
                b.name,
                b.name,
                f"@bridge:{b.name}" if b.name in groups else "",
            )
            for b in state.network.bridges
        ),
        guests=tuple(
            replace(
                _guest(guest, statuses, rates), load=_stepped(loads.get(guest.name))
            )
            for guest in state.guests
        ),
        links=_links(state),
        tunnels=state.network.tunnels,
        outside=Outside(nat.host, nat.subnet, (nat.external_device,)) if nat else None,
        summary=_summary(state, statuses),
    )


def _places(state: State) -> tuple[Place, ...]:
    counts = Counter(guest.host for guest in state.guests)
    subnets = {m.host: m.subnet for m in state.network.management}
    return tuple(
        Place(
            name=host.name,
            note=count_of(counts[host.name], "guest"),
            is_main=host.is_main,
            management=subnets.get(host.name, ""),
            group=f"@host:{host.name}" if counts[host.name] else "",
        )
        for host in _hosts(state)
    )


def _guest(
    guest: GuestState, statuses: Mapping[str, str], rates: Mapping[str, Rate]
) -> Guest:
    addresses = [i.address for i in guest.interfaces if i.address]
    return Guest(
        name=guest.name,
        place=guest.host,
        text=addresses[0] if addresses else guest.image.name,
        status=statuses.get(guest.name, "unknown"),
        plugs=tuple(_plug(guest, i, rates.get(i.tap)) for i in guest.interfaces),
    )


def _plug(guest: GuestState, interface: InterfaceState, rate: Rate | None) -> Plug:
    title = f"{guest.name} {interface.name} on {interface.bridge}"
    words = f"{title}: {rate.words}" if rate else title
    return Plug(interface.device, interface.bridge, words, rate)


def _stepped(percent: float | None) -> int | None:
    """Return a load in steps, as a page that is replaced at each change needs it."""
    return None if percent is None else LOAD_STEP * round(percent / LOAD_STEP)


def _links(state: State) -> tuple[Link, ...]:
    names = {(b.host, b.device): b.name for b in state.network.bridges}
    return tuple(
        Link(
            patch.host,
            patch.device_a,
            patch.device_b,
            f"link of {names.get((patch.host, patch.device_a), '')} and "
            f"{names.get((patch.host, patch.device_b), '')} on {patch.host}",
        )
        for patch in state.network.patches
    )


def _hosts(state: State) -> list[HostState]:
    return sorted(state.used_hosts, key=lambda host: (not host.is_main, host.name))


def _summary(state: State, statuses: Mapping[str, str]) -> str:
    """Describe the diagram in words, for users who do not see it."""
    parts = []
    for host in _hosts(state):
        guests = [guest.name for guest in state.guests if guest.host == host.name]
        bridges = [b.name for b in state.network.bridges if b.host == host.name]
        shown = ", ".join(
            f"{name} ({statuses.get(name, 'unknown')})" for name in guests[:20]
        )
        more = f" and {len(guests) - 20} more" if len(guests) > 20 else ""
        parts.append(
            f"Host {host.name}: bridges {', '.join(bridges) or 'none'}; "
            f"guests {shown or 'none'}{more}."
        )
    links = len(state.network.patches) + len(state.network.tunnels)
    return " ".join([*parts, f"Links between bridges: {links}."])
