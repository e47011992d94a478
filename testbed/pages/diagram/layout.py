"""Computes from a scene the place of each part of a testbed's diagram.

Pure: numbers and words only. `templates/testbeds/diagram/` draws them as SVG. Each
host is a box; in it each bridge is a bar that its guests hang from in rows. Lines have
lanes of their own: patch links left of the bars, further interfaces of guests right of
them, tunnels between the boxes. Boxes stand side by side, in several rows where the
page is too narrow for one. A folded host shows counts instead of guests. `scene.py` and
`sketch.py` decide which parts there are, `folding.py` which are folded.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.amounts import count_of
from orchestration.state.model import State
from testbed.pages.diagram.folding import Folding, folding_of
from testbed.pages.diagram.legend import legend_of
from testbed.pages.diagram.lines import (
    LANE,
    STEM,
    bus_lines,
    further_lines,
    outside_lines,
    patch_lines,
)
from testbed.pages.diagram.parts import Bar, Box, Cloud, Diagram, GuestBox
from testbed.pages.diagram.scene import (
    NO_LOADS,
    NO_RATES,
    Bridge,
    Guest,
    Place,
    Scene,
    scene_of,
)
from testbed.pages.diagram.tunnels import cells_of, corridor_above, tunnel_lines
from testbed.pages.traffic import Rate, sum_of

CARD_WIDTH, CARD_HEIGHT = 164, 44
# The width that the page has for the diagram.
PAGE_WIDTH = 1204
# Up to this width the page shows the whole of it, a little smaller.
WIDEST = 1560
# Of a folded host: wide enough for the counts of four states.
FOLDED_COLUMNS = 2
GAP, ROW_GAP = 12, 22
BAR_HEIGHT, BAND_GAP = 24, 26
PADDING, HOST_HEAD, HOST_FOOT = 16, 38, 34
# Left and right of a host's name and notes, and their characters, bold and small.
HEAD_LEFT, HEAD_RIGHT, NAME_WIDTH, NOTE_WIDTH = 37, 38, 9, 6
HOST_GAP, HOST_ROW_GAP = 92, 36
CLOUD_WIDTH, CLOUD_HEIGHT = 118, 46
BELOW_LEGEND = 6
UNPLUGGED = "not connected"
MAX_NAME = 17


@dataclass(frozen=True, slots=True)
class _Band:
    """A bridge in a place, or the guests there without one, and its guests."""

    bridge: Bridge | None
    guests: tuple[Guest, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The guests side by side on a host, and the widths of its lanes and its box."""

    columns: int
    patches: int
    width: int

    @property
    def inner(self) -> int:
        """Return the width of its bars."""
        return self.columns * (CARD_WIDTH + GAP) - GAP


def layout(
    state: State,
    statuses: Mapping[str, str],
    *,
    loads: Mapping[str, float] = NO_LOADS,
    rates: Mapping[str, Rate] = NO_RATES,
    fold: str | None = None,
) -> Diagram:
    """Place a testbed. `statuses`, `loads` and `rates` are as `scene_of` says.

    `fold` names the folded hosts, as `folding.py` says.
    """
    return place(scene_of(state, statuses, loads, rates), fold)


def place(scene: Scene, fold: str | None = None) -> Diagram:
    """Place a scene, in as few rows of hosts as the page has the width for."""
    folding = folding_of(scene, fold)
    for per_row in range(len(scene.places), 1, -1):
        placer = _Placer(scene, folding, per_row)
        if placer.width <= WIDEST:
            return placer.placed()
    return _Placer(scene, folding, 1).placed()


class _Placer:
    """Collects the placed parts of one diagram, with so many hosts in a row."""

    def __init__(self, scene: Scene, folding: Folding, per_row: int) -> None:
        self.scene = scene
        self.folding = folding
        self.bands = _bands(scene)
        self.cells = cells_of([host.name for host in scene.places], per_row)
        most = _most_columns(per_row)
        self.shapes = {host.name: self._shape(host, most) for host in scene.places}
        self.widths: dict[int, int] = defaultdict(int)
        for name, cell in self.cells.items():
            widest = max(self.widths[cell.column], self.shapes[name].width)
            self.widths[cell.column] = widest
        self.boxes: list[Box] = []
        self.bars: list[Bar] = []
        self.cards: list[GuestBox] = []
        names = dict.fromkeys(bridge.net for bridge in scene.bridges if bridge.net)
        self.nets = {name: index % 6 for index, name in enumerate(names)}

    @property
    def width(self) -> int:
        """Return the width of the picture; tunnels of one column need a gap, too."""
        has_rows = len(self.widths) < len(self.scene.places)
        return self._left(len(self.widths)) - (0 if has_rows else HOST_GAP) + 1

    def placed(self) -> Diagram:
        """Place everything, row by row, and draw the lines."""
        scene, bottom = self.scene, 1
        for row in range(1 + max((c.row for c in self.cells.values()), default=0)):
            top = bottom + (HOST_ROW_GAP if row else 0)
            top += corridor_above(row, scene.tunnels, self.cells)
            hosts = [h for h in scene.places if self.cells[h.name].row == row]
            boxes = [self._place_host(host, top) for host in hosts]
            bottom = max((box.y + box.height for box in boxes), default=top)
            self.boxes += boxes
        cloud, external = self._cloud()
        lines = [
            *bus_lines(self.bars, self.cards),
            *further_lines(scene.guests, self.bars, self.cards, self.nets),
            *patch_lines(scene.links, self.bars),
            *tunnel_lines(scene.tunnels, self.bars, self.boxes, self.cells),
            *(outside_lines(cloud, external) if cloud else ()),
        ]
        legend = legend_of(scene.rates, self.width, bottom)
        return Diagram(
            width=self.width,
            height=(legend[-1].y + BELOW_LEGEND if legend else bottom) + 1,
            boxes=tuple(self.boxes),
            bars=tuple(self.bars),
            cards=tuple(self.cards),
            lines=tuple(lines),
            cloud=cloud,
            summary=scene.summary,
            folding=self.folding,
            legend=legend,
        )

    def _shape(self, host: Place, most_columns: int) -> _Shape:
        bands = self.bands[host.name]
        is_folded = host.name in self.folding.folded
        columns = FOLDED_COLUMNS if is_folded else _columns(bands, most_columns)
        links = sum(link.place == host.name for link in self.scene.links)
        patches = (links + 1) * LANE if links else 0
        further = 0 if is_folded else _further_room(bands)
        inner = columns * (CARD_WIDTH + GAP) - GAP
        width = patches + inner + further + 2 * PADDING
        return _Shape(columns, patches, max(width, _head_width(host)))

    def _left(self, column: int) -> int:
        """Return the left side of a column of hosts."""
        outside = CLOUD_WIDTH + 50 if self.scene.outside else 1
        return outside + sum(self.widths[n] + HOST_GAP for n in range(column))

    def _place_host(self, host: Place, top: int) -> Box:
        """Place a host's parts; return its box, as wide as its column."""
        shape, column = self.shapes[host.name], self.cells[host.name].column
        left, bottom = self._left(column), top + HOST_HEAD
        for band in self.bands[host.name]:
            inside = left + PADDING + shape.patches
            bottom = self._place_band(host.name, band, inside, bottom, shape)
        return Box(
            name=host.name,
            is_main=host.is_main,
            note=host.note,
            management=host.management,
            icon=host.icon,
            x=left,
            y=top,
            width=self.widths[column],
            height=bottom - BAND_GAP + PADDING + HOST_FOOT - top,
            group=host.group,
            is_folded=host.name in self.folding.folded,
            toggled=self.folding.toggled(host.name),
        )

    def _place_band(self, host: str, band: _Band, x: int, y: int, shape: _Shape) -> int:
        device = band.bridge.device if band.bridge else ""
        label = band.bridge.label if band.bridge else UNPLUGGED
        net = self.nets.get(band.bridge.net, -1) if band.bridge else -1
        group = band.bridge.group if band.bridge else ""
        bar = Bar(host, label, device, net, x, y, shape.inner, BAR_HEIGHT, group)
        self.bars.append(bar)
        y += BAR_HEIGHT
        if host in self.folding.folded and band.guests:
            self.cards.append(_count_card(band.guests, bar))
            return y + ROW_GAP + CARD_HEIGHT + BAND_GAP
        for number, guest in enumerate(band.guests):
            row, column = divmod(number, shape.columns)
            card_x = x + column * (CARD_WIDTH + GAP)
            card_y = y + ROW_GAP + row * (CARD_HEIGHT + ROW_GAP)
            drop = STEM if row else ROW_GAP
            self.cards.append(_card(guest, bar, card_x, card_y, drop=drop))
        rows = -(-len(band.guests) // shape.columns)
        return y + rows * (CARD_HEIGHT + ROW_GAP) + BAND_GAP

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


def _head_width(host: Place) -> int:
    """Return the width that a host's name and notes need, with icon and arrow."""
    notes = ["controller"] * host.is_main + [host.note]
    noted = sum(len(note) * NOTE_WIDTH + PADDING // 2 for note in notes)
    return HEAD_LEFT + len(host.name) * NAME_WIDTH + noted + HEAD_RIGHT


def _further_room(bands: list[_Band]) -> int:
    devices = {
        plug.device
        for band in bands
        for guest in band.guests
        for plug in guest.plugs[1:]
    }
    return (len(devices) + 1) * LANE if devices else 0


def _card(guest: Guest, bar: Bar, x: int, y: int, *, drop: int) -> GuestBox:
    known = [plug for plug in guest.plugs if plug.rate]
    return GuestBox(
        guest=guest.name,
        host=guest.place,
        device=bar.device,
        title=_cut(guest.name),
        text=guest.text,
        status=guest.status,
        load=guest.load,
        x=x,
        y=y,
        width=CARD_WIDTH,
        height=CARD_HEIGHT,
        rate=guest.plugs[0].rate if bar.device else None,
        drop=drop,
        net=bar.net,
        traffic="; ".join(f"on {p.net} {p.rate.words}" for p in known if p.rate),
    )


def _count_card(guests: tuple[Guest, ...], bar: Bar) -> GuestBox:
    on_host = f"@host:{bar.host}"
    counts = Counter(guest.status for guest in guests).most_common()
    plugs = [guest.plugs[0] for guest in guests if guest.plugs and bar.device]
    rates = [plug.rate for plug in plugs if plug.rate]
    total = sum_of(rates)
    traffic = f"{total.words} at {count_of(len(rates), 'interface')}" if total else ""
    return GuestBox(
        guest="",
        host=bar.host,
        device=bar.device,
        title=count_of(len(guests), "guest"),
        text=", ".join(f"{count} {word}" for word, count in counts),
        status=counts[0][0],
        x=bar.x,
        y=bar.y + BAR_HEIGHT + ROW_GAP,
        width=bar.width,
        height=CARD_HEIGHT,
        counts=tuple(counts),
        group=f"{bar.group}&{on_host}" if bar.group else on_host,
        names=tuple(guest.name for guest in guests),
        rate=total,
        drop=ROW_GAP,
        net=bar.net,
        traffic=traffic,
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
