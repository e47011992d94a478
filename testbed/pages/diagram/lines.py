"""The lines of a testbed's diagram, as SVG paths between bars and cards.

Used by `layout.py` only, which places the ends of the lines. Each kind of line has
lanes of its own, so that no two lines lie on each other for long. Those of tunnels are
in `tunnels.py`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from testbed.pages.diagram.parts import (
    Bar,
    Cloud,
    GuestBox,
    Line,
    bar_at,
    group_on,
)
from testbed.pages.diagram.scene import Guest, Link

LANE = 11
STEM = 11
# Between the lines of links at one bar, and from its middle to the last of them.
PORT_GAP, MOST_SHIFT = 3, 11


def bus_lines(bars: Sequence[Bar], cards: Sequence[GuestBox]) -> Iterator[Line]:
    """Hang each row of cards from its bar: a stem per card, a rail per further row."""
    for bar in bars:
        if bar.net < 0:
            continue
        at = (bar.host, bar.device)
        own = [card for card in cards if (card.host, card.device) == at]
        own.sort(key=lambda card: card.y)
        rows = [list(row) for _, row in groupby(own, key=lambda card: card.y)]
        path = ""
        for number, row in enumerate(rows):
            rail = bar.y + bar.height if number == 0 else row[0].y - STEM
            stems = (f"M{card.middle} {rail}V{card.y}" for card in row)
            path += "".join(stems)
            if number:
                path += f"M{bar.x - 4} {rail}H{row[-1].middle}"
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
            bar = bar_at(bars, guest.place, plug.device)
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
            step = plug.rate.step if plug.rate else 0
            yield Line("further", path, plug.title, net, guest=guest.name, step=step)


def patch_lines(links: Iterable[Link], bars: Sequence[Bar]) -> Iterator[Line]:
    """Draw links between bridges of one place, left of the bars."""
    spans: dict[str, list[_Span]] = defaultdict(list)
    for link in links:
        one = bar_at(bars, link.place, link.device_a)
        other = bar_at(bars, link.place, link.device_b)
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
        yield Line("patch", path, span.title, group=group_on(span.top, span.bottom))


def outside_lines(cloud: Cloud, bars: Sequence[Bar]) -> Iterator[Line]:
    """Draw the way outside: straight to the first bar, below the cloud to others."""
    for number, bar in enumerate(bars):
        path = f"M{cloud.x + cloud.width} {bar.middle}H{bar.x}"
        if number:
            x = cloud.x + cloud.width // 2
            path = f"M{x} {cloud.y + cloud.height}V{bar.middle}H{bar.x}"
        title = f"{bar.label} to the outside"
        yield Line("outside", path, title, group=bar.group)
