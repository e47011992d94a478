"""The lines of a testbed's diagram, as SVG paths between bars and cards.

Used by `layout.py` only, which places the ends of the lines. Each kind of line has
lanes of its own, so that no two lines lie on each other for long.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from orchestration.state.model import TunnelState
from testbed.pages.diagram.scene import Guest, Link

LANE = 11
STEM = 11
# Between the lines of links at one bar, and from its middle to the last of them.
PORT_GAP, MOST_SHIFT = 3, 11
TUNNEL_LANE = 22
MAX_TUNNELS = 12
LABEL_WIDTH = 7


@dataclass(frozen=True, slots=True)
class Bar:
    """One bridge on one host; `net` is the number of its colour, -1 for none.

    `is_gone`: the bridge is missing on its host, as last observed. `group` selects the
    guests on it, '' for none.
    """

    host: str
    label: str
    device: str
    net: int
    x: int
    y: int
    width: int
    height: int
    group: str = ""
    is_gone: bool = False

    @property
    def middle(self) -> int:
        """The y of its middle."""
        return self.y + self.height // 2


@dataclass(frozen=True, slots=True)
class GuestBox:
    """One guest, or the count of all guests of a bar (then `guest` is empty).

    `counts` are states with the number of guests in them, `group` selects those guests.
    """

    guest: str
    device: str
    title: str
    text: str
    status: str
    x: int
    y: int
    width: int
    height: int
    counts: tuple[tuple[str, int], ...] = ()
    group: str = ""

    @property
    def leads(self) -> bool:
        """Return whether it leads to a page."""
        return bool(self.guest or self.group)


@dataclass(frozen=True, slots=True)
class Line:
    """A connection. `kind`: bus, further, patch, tunnel, outside.

    It leads to the page of `guest`, or to the guests that `group` selects.
    """

    kind: str
    path: str
    title: str
    net: int = -1
    group: str = ""
    guest: str = ""
    label: str = ""
    label_x: int = 0
    label_y: int = 0
    label_width: int = 0

    @property
    def leads(self) -> bool:
        """Return whether it leads to a page."""
        return bool(self.guest or self.group)


class Placed(Protocol):
    """A host's box."""

    @property
    def name(self) -> str: ...
    @property
    def x(self) -> int: ...
    @property
    def width(self) -> int: ...


class Sized(Protocol):
    """The cloud of the outside."""

    @property
    def x(self) -> int: ...
    @property
    def y(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


def bus_lines(bars: Sequence[Bar], cards: Sequence[GuestBox]) -> Iterator[Line]:
    """Hang each row of cards from its bar: a stem per card, a rail per further row."""
    for bar in bars:
        if bar.net < 0:
            continue
        own = [c for c in cards if c.device == bar.device and _is_below(bar, c)]
        own.sort(key=lambda card: card.y)
        rows = [list(row) for _, row in groupby(own, key=lambda card: card.y)]
        path = ""
        for number, row in enumerate(rows):
            rail = bar.y + bar.height if number == 0 else row[0].y - STEM
            stems = (f"M{_stem(card)} {rail}V{card.y}" for card in row)
            path += "".join(stems)
            if number:
                path += f"M{bar.x - 4} {rail}H{_stem(row[-1])}"
        if len(rows) > 1:
            path += f"M{bar.x} {bar.middle}H{bar.x - 4}V{rows[-1][0].y - STEM}"
        if path:
            title = f"guests on {bar.label}"
            yield Line("bus", path, title, bar.net, bar.group)


def further_lines(
    guests: Iterable[Guest],
    bars: Sequence[Bar],
    cards: Sequence[GuestBox],
    nets: Mapping[str, int],
) -> Iterator[Line]:
    """Draw guests' second, third … interfaces to their bars, right of everything."""
    places = {card.guest: card for card in cards if card.guest}
    lanes: dict[tuple[str, str], int] = {}
    for guest in guests:
        card = places.get(guest.name)
        if card is None:
            continue
        for number, plug in enumerate(guest.plugs[1:]):
            bar = _find(bars, guest.place, plug.device)
            if bar is None:
                continue
            used = sum(place == guest.place for place, _ in lanes)
            lane = lanes.setdefault((guest.place, plug.device), used)
            x = bar.x + bar.width + (lane + 1) * LANE
            start = card.x + card.width - 14 - number * 12
            y = card.y + card.height + 4 + lane % 2 * 4
            path = (
                f"M{start} {card.y + card.height}V{y}H{x}V{bar.middle}"
                f"H{bar.x + bar.width}"
            )
            net = nets.get(plug.net, -1)
            yield Line("further", path, plug.title, net, guest=guest.name)


def patch_lines(links: Iterable[Link], bars: Sequence[Bar]) -> Iterator[Line]:
    """Draw links between bridges of one place, left of the bars."""
    spans: dict[str, list[_Span]] = defaultdict(list)
    for link in links:
        one = _find(bars, link.place, link.device_a)
        other = _find(bars, link.place, link.device_b)
        if one is not None and other is not None:
            top, bottom = sorted((one, other), key=lambda bar: bar.y)
            spans[link.place].append(_Span(link.title, top, bottom))
    for some in spans.values():
        yield from _nested(sorted(some, key=lambda span: span.bottom.y - span.top.y))


@dataclass(frozen=True, slots=True)
class _Span:
    """A link between two bars of one place."""

    title: str
    top: Bar
    bottom: Bar


def _nested(spans: Sequence[_Span]) -> Iterator[Line]:
    """Draw links in lanes of their own, the shortest in the innermost.

    On each side of a bar's middle, the line of the outermost lane is nearest to the
    middle: so the lines of one bar neither cross nor touch.
    """
    below: Counter[Bar] = Counter()
    above: Counter[Bar] = Counter()
    for lane, span in reversed(list(enumerate(spans, start=1))):
        below[span.top] += 1
        above[span.bottom] += 1
        x = span.top.x - lane * LANE
        start = span.top.middle + min(below[span.top] * PORT_GAP, MOST_SHIFT)
        end = span.bottom.middle - min(above[span.bottom] * PORT_GAP, MOST_SHIFT)
        path = f"M{span.top.x} {start}H{x}V{end}H{span.bottom.x}"
        yield Line("patch", path, span.title, group=_groups(span.top, span.bottom))


def outside_lines(cloud: Sized, bars: Sequence[Bar]) -> Iterator[Line]:
    """Draw the way outside: straight to the first bar, below the cloud to others."""
    for number, bar in enumerate(bars):
        path = f"M{cloud.x + cloud.width} {bar.middle}H{bar.x}"
        if number:
            x = cloud.x + cloud.width // 2
            path = f"M{x} {cloud.y + cloud.height}V{bar.middle}H{bar.x}"
        title = f"{bar.label} to the outside"
        yield Line("outside", path, title, group=bar.group)


def tunnel_top(tunnels: Sequence[TunnelState], hosts: Sequence[str]) -> int:
    """Return the height above the hosts that tunnels between far hosts take."""
    far = [t for t in tunnels[:MAX_TUNNELS] if not _are_neighbours(t, hosts)]
    return len(far) * TUNNEL_LANE


def tunnel_lines(
    tunnels: Sequence[TunnelState], bars: Sequence[Bar], boxes: Sequence[Placed]
) -> Iterator[Line]:
    """Draw tunnels: through the gap of neighbours, above the boxes of others."""
    hosts = [box.name for box in boxes]
    near: dict[str, int] = defaultdict(int)
    far = 0
    for tunnel in tunnels[:MAX_TUNNELS]:
        ends = sorted(tunnel.ends, key=lambda end: hosts.index(end.host))
        one, other = (_find(bars, end.host, end.device) for end in ends)
        if one is None or other is None:
            continue
        left = next(box for box in boxes if box.name == one.host)
        right = next(box for box in boxes if box.name == other.host)
        if _are_neighbours(tunnel, hosts):
            near[one.host] += 1
            yield _near(tunnel, one, other, left, near[one.host])
        else:
            far += 1
            yield _far(tunnel, one, other, (left, right), far)


def _near(tunnel: TunnelState, one: Bar, other: Bar, left: Placed, number: int) -> Line:
    x = left.x + left.width + 8 + (number * 14) % 76
    start = one.x + one.width
    path = f"M{start} {one.middle}H{x}V{other.middle}H{other.x}"
    middle = left.x + left.width + 46
    y = (one.middle + other.middle) // 2 if one.middle != other.middle else one.middle
    return _labelled(tunnel, one, other, path, middle, y)


def _far(
    tunnel: TunnelState,
    one: Bar,
    other: Bar,
    boxes: tuple[Placed, Placed],
    number: int,
) -> Line:
    left, right = boxes
    lane = number * TUNNEL_LANE - TUNNEL_LANE // 2
    out = left.x + left.width + 6 + (number * 9) % 36
    back = right.x - 6 - (number * 9) % 36
    path = (
        f"M{one.x + one.width} {one.middle}H{out}V{lane}H{back}V{other.middle}"
        f"H{other.x}"
    )
    return _labelled(tunnel, one, other, path, (out + back) // 2, lane)


def _labelled(
    tunnel: TunnelState, one: Bar, other: Bar, path: str, x: int, y: int
) -> Line:
    label = f"{tunnel.kind} {tunnel.key}"
    width = len(label) * LABEL_WIDTH + 8
    title = (
        f"{tunnel.kind} tunnel {tunnel.key}: {one.label} on {one.host} "
        f"to {other.label} on {other.host}"
    )
    return Line(
        "tunnel",
        path,
        title,
        group=_groups(one, other),
        label=label,
        label_x=x,
        label_y=y,
        label_width=width,
    )


def _groups(*bars: Bar) -> str:
    """Return a selection of the guests on any of the bars."""
    return ",".join(dict.fromkeys(bar.group for bar in bars if bar.group))


def _are_neighbours(tunnel: TunnelState, hosts: Sequence[str]) -> bool:
    one, other = (hosts.index(end.host) for end in tunnel.ends)
    return abs(one - other) == 1


def _find(bars: Sequence[Bar], host: str, device: str) -> Bar | None:
    here = (bar for bar in bars if bar.host == host)
    return next((bar for bar in here if bar.device == device), None)


def _is_below(bar: Bar, card: GuestBox) -> bool:
    return bar.x <= card.x < bar.x + bar.width


def _stem(card: GuestBox) -> int:
    return card.x + card.width // 2
