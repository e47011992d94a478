"""Computes from a scene the place of each part of a testbed's diagram.

Pure: numbers and words only. `templates/testbeds/diagram/_diagram.html` draws them as SVG. Each
host is a box; in it each bridge is a bar that its guests hang from in rows. Lines have
lanes of their own: patch links left of the bars, further interfaces of guests right of
them, tunnels between the boxes. A folded host shows counts instead of guests.
`scene.py` and `sketch.py` decide which parts there are, `folding.py` which are folded.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestration.amounts import count_of
from orchestration.state.model import State
from testbed.pages.diagram.folding import Folding, folding_of
from testbed.pages.diagram.lines import (
    LANE,
    Bar,
    GuestBox,
    Line,
    bus_lines,
    further_lines,
    outside_lines,
    patch_lines,
    tunnel_lines,
    tunnel_top,
)
from testbed.pages.diagram.scene import Bridge, Guest, Place, Scene, scene_of

CARD_WIDTH, CARD_HEIGHT = 164, 44
# The width that the page has for the diagram.
PAGE_WIDTH = 1204
# Of a folded host: wide enough for the counts of four states.
FOLDED_COLUMNS = 2
GAP, ROW_GAP = 12, 22
BAR_HEIGHT, BAND_GAP = 24, 26
PADDING, HOST_HEAD, HOST_FOOT = 16, 38, 34
HOST_GAP = 92
CLOUD_WIDTH, CLOUD_HEIGHT = 118, 46
UNPLUGGED = "not connected"
MAX_NAME = 17


@dataclass(frozen=True, slots=True)
class Box:
    """One host. `management` is the subnet of its management network, or ''.

    `group` selects its guests, '' for none; `toggled` is the choice of folded hosts
    after a click on it.
    """

    name: str
    is_main: bool
    note: str
    management: str
    icon: str
    x: int
    y: int
    width: int
    height: int
    group: str = ""
    is_folded: bool = False
    toggled: str = ""


@dataclass(frozen=True, slots=True)
class Cloud:
    """The outside: main's NAT network, with a line to the external bridge."""

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
    cards: tuple[GuestBox, ...]
    lines: tuple[Line, ...]
    cloud: Cloud | None
    summary: str
    folding: Folding


@dataclass(frozen=True, slots=True)
class _Band:
    """A bridge in a place, or the guests there without one, and its guests."""

    bridge: Bridge | None
    guests: tuple[Guest, ...]


def layout(
    state: State, statuses: Mapping[str, str], *, fold: str | None = None
) -> Diagram:
    """Place a testbed. `statuses` are libvirt's words by guest; missing is unknown.

    `fold` names the folded hosts, as `folding.py` says.
    """
    return place(scene_of(state, statuses), fold)


def place(scene: Scene, fold: str | None = None) -> Diagram:
    """Place a scene."""
    bands = _bands(scene)
    left = CLOUD_WIDTH + 50 if scene.outside else 1
    top = 1 + tunnel_top(scene.tunnels, [place.name for place in scene.places])
    placer = _Placer(scene, folding_of(scene, fold), top)
    for one in scene.places:
        left = placer.place_host(one, bands[one.name], left) + HOST_GAP
    return placer.finish(left - HOST_GAP + 1)


class _Placer:
    """Collects the placed parts of one diagram."""

    def __init__(self, scene: Scene, folding: Folding, top: int) -> None:
        self.scene = scene
        self.folding = folding
        self.top = top
        self.most_columns = _most_columns(len(scene.places))
        self.boxes: list[Box] = []
        self.bars: list[Bar] = []
        self.cards: list[GuestBox] = []
        names = dict.fromkeys(bridge.net for bridge in scene.bridges if bridge.net)
        self.nets = {name: index % 6 for index, name in enumerate(names)}

    def place_host(self, host: Place, bands: list[_Band], left: int) -> int:
        """Place a host and its parts; return its right side."""
        is_folded = host.name in self.folding.folded
        columns = FOLDED_COLUMNS if is_folded else _columns(bands, self.most_columns)
        inner = columns * (CARD_WIDTH + GAP) - GAP
        inside = left + PADDING + self._patch_room(host.name)
        bottom = self.top + HOST_HEAD
        for band in bands:
            bottom = self._place_band(host.name, band, inside, bottom, inner, columns)
        further = 0 if is_folded else _further_room(bands)
        width = inside + inner + further + PADDING - left
        height = bottom - BAND_GAP + PADDING + HOST_FOOT - self.top
        self.boxes.append(
            Box(
                host.name,
                host.is_main,
                host.note,
                host.management,
                host.icon,
                left,
                self.top,
                width,
                height,
                host.group,
                is_folded,
                self.folding.toggled(host.name),
            )
        )
        return left + width

    def finish(self, width: int) -> Diagram:
        """Draw the lines and return the diagram."""
        height = max((box.height for box in self.boxes), default=0)
        boxes, scene = tuple(self.boxes), self.scene
        cloud, external = self._cloud()
        lines = [
            *bus_lines(self.bars, self.cards),
            *further_lines(scene.guests, self.bars, self.cards, self.nets),
            *patch_lines(scene.links, self.bars),
            *tunnel_lines(scene.tunnels, self.bars, boxes),
            *(outside_lines(cloud, external) if cloud else ()),
        ]
        return Diagram(
            width=width,
            height=self.top + height + 1,
            boxes=boxes,
            bars=tuple(self.bars),
            cards=tuple(self.cards),
            lines=tuple(lines),
            cloud=cloud,
            summary=scene.summary,
            folding=self.folding,
        )

    def _place_band(
        self, host: str, band: _Band, x: int, y: int, width: int, columns: int
    ) -> int:
        device = band.bridge.device if band.bridge else ""
        label = band.bridge.label if band.bridge else UNPLUGGED
        net = self.nets.get(band.bridge.net, -1) if band.bridge else -1
        group = band.bridge.group if band.bridge else ""
        self.bars.append(Bar(host, label, device, net, x, y, width, BAR_HEIGHT, group))
        y += BAR_HEIGHT
        if host in self.folding.folded and band.guests:
            here = f"{group}&@host:{host}" if group else f"@host:{host}"
            card = _count_card(band.guests, device, x, y + ROW_GAP, width)
            self.cards.append(replace(card, group=here))
            return y + ROW_GAP + CARD_HEIGHT + BAND_GAP
        for number, guest in enumerate(band.guests):
            row, column = divmod(number, columns)
            card_x = x + column * (CARD_WIDTH + GAP)
            card_y = y + ROW_GAP + row * (CARD_HEIGHT + ROW_GAP)
            self.cards.append(_card(guest, device, card_x, card_y))
        rows = -(-len(band.guests) // columns)
        return y + rows * (CARD_HEIGHT + ROW_GAP) + BAND_GAP

    def _patch_room(self, place: str) -> int:
        links = sum(link.place == place for link in self.scene.links)
        return (links + 1) * LANE if links else 0

    def _cloud(self) -> tuple[Cloud | None, list[Bar]]:
        """Place the outside at the first of the bars that lead there."""
        outside = self.scene.outside
        if outside is None:
            return None, []
        here = [bar for bar in self.bars if bar.host == outside.place]
        external = [bar for bar in here if bar.device in outside.devices]
        if not external:
            return None, []
        y = external[0].middle - CLOUD_HEIGHT // 2
        return Cloud(outside.note, 1, y, CLOUD_WIDTH, CLOUD_HEIGHT), external


def _further_room(bands: list[_Band]) -> int:
    devices = {
        plug.device
        for band in bands
        for guest in band.guests
        for plug in guest.plugs[1:]
    }
    return (len(devices) + 1) * LANE if devices else 0


def _card(guest: Guest, device: str, x: int, y: int) -> GuestBox:
    return GuestBox(
        guest=guest.name,
        device=device,
        title=_cut(guest.name),
        text=guest.text,
        status=guest.status,
        x=x,
        y=y,
        width=CARD_WIDTH,
        height=CARD_HEIGHT,
    )


def _count_card(
    guests: tuple[Guest, ...], device: str, x: int, y: int, width: int
) -> GuestBox:
    counts = Counter(guest.status for guest in guests).most_common()
    return GuestBox(
        guest="",
        device=device,
        title=count_of(len(guests), "guest"),
        text=", ".join(f"{count} {word}" for word, count in counts),
        status=counts[0][0],
        counts=tuple(counts),
        x=x,
        y=y,
        width=width,
        height=CARD_HEIGHT,
    )


def _bands(scene: Scene) -> dict[str, list[_Band]]:
    """Return the bands of each place, bridges in the order of the scene."""
    known = {(bridge.place, bridge.device) for bridge in scene.bridges}
    hanging: dict[tuple[str, str], list[Guest]] = defaultdict(list)
    for guest in scene.guests:
        device = guest.plugs[0].device if guest.plugs else ""
        at = (guest.place, device)
        hanging[at if at in known else (guest.place, "")].append(guest)
    bands: dict[str, list[_Band]] = defaultdict(list)
    for bridge in scene.bridges:
        guests = hanging.get((bridge.place, bridge.device), [])
        bands[bridge.place].append(_Band(bridge, tuple(guests)))
    for (name, device), guests in hanging.items():
        if not device:
            bands[name].append(_Band(None, tuple(guests)))
    return bands


def _most_columns(hosts: int) -> int:
    """Return how many guests side by side fit on each host without scrolling."""
    room = (PAGE_WIDTH - CLOUD_WIDTH) // max(1, hosts) - HOST_GAP - 2 * PADDING
    return min(6, max(3, room // (CARD_WIDTH + GAP)))


def _columns(bands: list[_Band], most: int) -> int:
    """Return how many guests of a bridge stand side by side; all rows count."""
    guests = [len(band.guests) for band in bands]
    for columns, rows in ((1, 1), (2, 4), (3, 6), (4, 6), (5, 6)):
        enough = max(guests, default=0) <= columns * rows
        total = sum(-(-count // columns) for count in guests)
        if enough and (columns == 1 or total <= 2 * rows) and columns <= most:
            return columns
    return most


def _cut(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
