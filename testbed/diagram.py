"""State + observed statuses → where everything of a testbed's diagram is drawn.

Pure: numbers and words only. `templates/testbeds/_diagram.html` draws them as SVG. Each
host is a box; in it each bridge is a bar that its guests hang from in rows. Lines have
lanes of their own: patch links left of the bars, further interfaces of guests right of
them, tunnels between the boxes. Very large testbeds show counts instead of guests.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.state.model import BridgeState, GuestState, HostState, State
from testbed.diagram_lines import (
    LANE,
    Bar,
    Card,
    Line,
    bus_lines,
    further_lines,
    patch_lines,
    tunnel_lines,
    tunnel_top,
)

AGGREGATE_ABOVE = 120
CARD_WIDTH, CARD_HEIGHT = 164, 44
GAP, ROW_GAP = 12, 22
BAR_HEIGHT, BAND_GAP = 24, 26
PADDING, HOST_HEAD, HOST_FOOT = 16, 38, 34
HOST_GAP = 92
CLOUD_WIDTH, CLOUD_HEIGHT = 118, 46
UNPLUGGED = "not connected"
MAX_NAME = 17


@dataclass(frozen=True, slots=True)
class Box:
    """One host. `management` is the subnet of its management network, or ''."""

    name: str
    is_main: bool
    note: str
    management: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Cloud:
    """The way outside: main's NAT network, with a line to the external bridge."""

    subnet: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Diagram:
    """Everything to draw, in a picture of `width` by `height`."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    bars: tuple[Bar, ...]
    cards: tuple[Card, ...]
    lines: tuple[Line, ...]
    cloud: Cloud | None
    summary: str


@dataclass(frozen=True, slots=True)
class _Band:
    """A bridge on a host, or the guests there without one, and who hangs from it."""

    host: str
    bridge: str
    device: str
    guests: tuple[GuestState, ...]


def layout(state: State, statuses: Mapping[str, str]) -> Diagram:
    """Place a testbed. `statuses` are libvirt's words by guest; missing is unknown."""
    bands = _bands(state)
    is_counted = len(state.guests) > AGGREGATE_ABOVE
    left = CLOUD_WIDTH + 50 if state.network.nat else 1
    top = 1 + tunnel_top(state, [host.name for host in _hosts(state)])
    placer = _Placer(state, statuses, is_counted=is_counted, top=top)
    for host in _hosts(state):
        left = placer.place_host(host.name, bands[host.name], left) + HOST_GAP
    return placer.finish(left - HOST_GAP + 1)


class _Placer:
    """Collects what was placed so far; used for one diagram."""

    def __init__(
        self, state: State, statuses: Mapping[str, str], *, is_counted: bool, top: int
    ) -> None:
        self.state = state
        self.statuses = statuses
        self.is_counted = is_counted
        self.top = top
        self.boxes: list[Box] = []
        self.bars: list[Bar] = []
        self.cards: list[Card] = []
        names = dict.fromkeys(b.name for b in state.network.bridges)
        self.nets = {name: index % 6 for index, name in enumerate(names)}

    def place_host(self, name: str, bands: list[_Band], left: int) -> int:
        """Place a host and what is on it; return its right side."""
        columns = 1 if self.is_counted else _columns(bands)
        inner = columns * (CARD_WIDTH + GAP) - GAP
        inside = left + PADDING + self._patch_room(name)
        bottom = self.top + HOST_HEAD
        for band in bands:
            bottom = self._place_band(band, inside, bottom, inner, columns)
        width = inside + inner + self._further_room(bands) + PADDING - left
        height = bottom - BAND_GAP + PADDING + HOST_FOOT - self.top
        self.boxes.append(self._box(name, left, width, height))
        return left + width

    def finish(self, width: int) -> Diagram:
        """Draw the lines and return everything."""
        height = max((box.height for box in self.boxes), default=0)
        boxes = tuple(self.boxes)
        cloud = self._cloud()
        lines = [
            *bus_lines(self.bars, self.cards),
            *further_lines(self.state, self.bars, self.cards, self.nets),
            *patch_lines(self.state, self.bars),
            *tunnel_lines(self.state, self.bars, boxes),
            *self._cloud_lines(cloud),
        ]
        return Diagram(
            width=width,
            height=self.top + height + 1,
            boxes=boxes,
            bars=tuple(self.bars),
            cards=tuple(self.cards),
            lines=tuple(lines),
            cloud=cloud,
            summary=_summary(self.state, self.statuses),
        )

    def _place_band(self, band: _Band, x: int, y: int, width: int, columns: int) -> int:
        net = self.nets.get(band.bridge, -1)
        if net >= 0 or band.guests:
            label = band.bridge or UNPLUGGED
            self.bars.append(
                Bar(band.host, label, band.device, net, x, y, width, BAR_HEIGHT)
            )
        y += BAR_HEIGHT
        if self.is_counted and band.guests:
            self.cards.append(self._count_card(band, x, y + ROW_GAP, width))
            return y + ROW_GAP + CARD_HEIGHT + BAND_GAP
        for number, guest in enumerate(band.guests):
            row, column = divmod(number, columns)
            card_x = x + column * (CARD_WIDTH + GAP)
            card_y = y + ROW_GAP + row * (CARD_HEIGHT + ROW_GAP)
            self.cards.append(self._card(guest, band.device, card_x, card_y))
        rows = -(-len(band.guests) // columns)
        return y + rows * (CARD_HEIGHT + ROW_GAP) + BAND_GAP

    def _card(self, guest: GuestState, device: str, x: int, y: int) -> Card:
        addresses = [i.address for i in guest.interfaces if i.address]
        return Card(
            guest=guest.name,
            device=device,
            title=_cut(guest.name),
            text=addresses[0] if addresses else guest.image.name,
            status=self.statuses.get(guest.name, "unknown"),
            x=x,
            y=y,
            width=CARD_WIDTH,
            height=CARD_HEIGHT,
        )

    def _count_card(self, band: _Band, x: int, y: int, width: int) -> Card:
        words = (self.statuses.get(guest.name, "unknown") for guest in band.guests)
        counts = Counter(words)
        text = ", ".join(f"{count} {word}" for word, count in counts.most_common(2))
        count = len(band.guests)
        return Card(
            guest="",
            device=band.device,
            title=f"{count} guest" if count == 1 else f"{count} guests",
            text=text,
            status=counts.most_common(1)[0][0],
            x=x,
            y=y,
            width=width,
            height=CARD_HEIGHT,
        )

    def _box(self, name: str, x: int, width: int, height: int) -> Box:
        host = self.state.host(name)
        management = next(
            (m.subnet for m in self.state.network.management if m.host == name), ""
        )
        count = sum(guest.host == name for guest in self.state.guests)
        note = f"{count} guest" if count == 1 else f"{count} guests"
        return Box(name, host.is_main, note, management, x, self.top, width, height)

    def _patch_room(self, host: str) -> int:
        patches = sum(patch.host == host for patch in self.state.network.patches)
        return (patches + 1) * LANE if patches else 0

    def _further_room(self, bands: list[_Band]) -> int:
        if self.is_counted:
            return 0
        devices = {
            interface.device
            for band in bands
            for guest in band.guests
            for interface in guest.interfaces[1:]
        }
        return (len(devices) + 1) * LANE if devices else 0

    def _cloud(self) -> Cloud | None:
        nat = self.state.network.nat
        bar = self._external_bar()
        if nat is None or bar is None:
            return None
        y = bar.middle - CLOUD_HEIGHT // 2
        return Cloud(nat.subnet, 1, y, CLOUD_WIDTH, CLOUD_HEIGHT)

    def _cloud_lines(self, cloud: Cloud | None) -> list[Line]:
        bar = self._external_bar()
        if cloud is None or bar is None:
            return []
        path = f"M{cloud.x + cloud.width} {bar.middle}H{bar.x}"
        return [Line("outside", path, f"{bar.label} to the outside")]

    def _external_bar(self) -> Bar | None:
        nat = self.state.network.nat
        if nat is None:
            return None
        here = (bar for bar in self.bars if bar.host == nat.host)
        return next((bar for bar in here if bar.device == nat.external_device), None)


def _hosts(state: State) -> list[HostState]:
    return sorted(state.used_hosts, key=lambda host: (not host.is_main, host.name))


def _bands(state: State) -> dict[str, list[_Band]]:
    """Return the bands of each host, bridges in the order of the state."""
    hanging: dict[tuple[str, str], list[GuestState]] = defaultdict(list)
    for guest in state.guests:
        device = guest.interfaces[0].device if guest.interfaces else ""
        hanging[guest.host, device].append(guest)
    bands: dict[str, list[_Band]] = defaultdict(list)
    for bridge in state.network.bridges:
        bands[bridge.host].append(_band(bridge, hanging))
    for (host, device), guests in hanging.items():
        if not device:
            bands[host].append(_Band(host, "", "", tuple(guests)))
    return bands


def _band(
    bridge: BridgeState, hanging: Mapping[tuple[str, str], list[GuestState]]
) -> _Band:
    guests = hanging.get((bridge.host, bridge.device), [])
    return _Band(bridge.host, bridge.name, bridge.device, tuple(guests))


def _columns(bands: list[_Band]) -> int:
    most = max((len(band.guests) for band in bands), default=0)
    for columns, limit in ((1, 1), (2, 8), (3, 18)):
        if most <= limit:
            return columns
    return 4


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _summary(state: State, statuses: Mapping[str, str]) -> str:
    """Say the diagram in words, for those who do not see it."""
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
