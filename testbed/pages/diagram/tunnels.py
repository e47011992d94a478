"""The lines of tunnels between the hosts of a diagram, which stand in rows.

Each gap between two columns of hosts is free from top to bottom, and so is the corridor
above each row: the lines keep to these. Used by `layout.py` only.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestration.state.model import TunnelState
from testbed.pages.diagram.parts import Bar, Box, Line, bar_at, group_on

TUNNEL_LANE = 22
MAX_TUNNELS = 12
LABEL_WIDTH = 7
Ends = tuple[Bar, Bar]


@dataclass(frozen=True, slots=True)
class Cell:
    """The place of a host among the others."""

    row: int
    column: int


def cells_of(hosts: Sequence[str], per_row: int) -> dict[str, Cell]:
    """Put hosts in rows of so many."""
    return {host: Cell(*divmod(n, per_row)) for n, host in enumerate(hosts)}


def corridor_above(
    row: int, tunnels: Sequence[TunnelState], cells: Mapping[str, Cell]
) -> int:
    """Return the height above a row of hosts that its tunnels between far hosts take."""
    rows = (_corridor_of(tunnel, cells) for tunnel in tunnels[:MAX_TUNNELS])
    return TUNNEL_LANE * sum(each == row for each in rows)


def tunnel_lines(
    tunnels: Sequence[TunnelState],
    bars: Sequence[Bar],
    boxes: Sequence[Box],
    cells: Mapping[str, Cell],
) -> Iterator[Line]:
    """Draw tunnels: through a gap, or for far hosts above the lower one's row."""
    places = {box.name: box for box in boxes}
    tops = {cells[box.name].row: box.y for box in boxes}
    in_gap: Counter[int] = Counter()
    above: Counter[int] = Counter()
    for tunnel in tunnels[:MAX_TUNNELS]:
        ends = sorted(tunnel.ends, key=lambda end: cells[end.host].column)
        one, other = (bar_at(bars, end.host, end.device) for end in ends)
        if one is None or other is None:
            continue
        left, right = places[one.host], places[other.host]
        row = _corridor_of(tunnel, cells)
        if row is None:
            column = cells[one.host].column
            in_gap[column] += 1
            is_above = column == cells[other.host].column
            yield _near(tunnel, (one, other), left, in_gap[column], is_above=is_above)
        else:
            above[row] += 1
            begins = tops[row] - 1 - corridor_above(row, tunnels, cells)
            lane = begins + above[row] * TUNNEL_LANE - TUNNEL_LANE // 2
            yield _far(tunnel, (one, other), (left, right), lane, above.total())


def _corridor_of(tunnel: TunnelState, cells: Mapping[str, Cell]) -> int | None:
    """Return the row above which a tunnel goes; None where a gap is enough."""
    one, other = (cells[end.host] for end in tunnel.ends)
    if one.column == other.column:
        return None
    if one.row == other.row and abs(one.column - other.column) == 1:
        return None
    return max(one.row, other.row)


def _near(
    tunnel: TunnelState, ends: Ends, left: Box, number: int, *, is_above: bool
) -> Line:
    one, other = ends
    x = left.x + left.width + 8 + (number * 14) % 76
    start = one.x + one.width
    end = other.x + other.width if is_above else other.x
    path = f"M{start} {one.middle}H{x}V{other.middle}H{end}"
    middle = left.x + left.width + 46
    y = (one.middle + other.middle) // 2 if one.middle != other.middle else one.middle
    return _labelled(tunnel, ends, path, middle, y)


def _far(
    tunnel: TunnelState, ends: Ends, boxes: tuple[Box, Box], lane: int, number: int
) -> Line:
    (one, other), (left, right) = ends, boxes
    out = left.x + left.width + 6 + (number * 9) % 36
    back = right.x - 6 - (number * 9) % 36
    path = (
        f"M{one.x + one.width} {one.middle}H{out}V{lane}H{back}V{other.middle}"
        f"H{other.x}"
    )
    return _labelled(tunnel, ends, path, (out + back) // 2, lane)


def _labelled(tunnel: TunnelState, ends: Ends, path: str, x: int, y: int) -> Line:
    one, other = ends
    label = f"{tunnel.kind} {tunnel.key}"
    title = (
        f"{tunnel.kind} tunnel {tunnel.key}: {one.label} on {one.host} "
        f"to {other.label} on {other.host}"
    )
    return Line(
        "tunnel",
        path,
        title,
        group=group_on(one, other),
        label=label,
        label_x=x,
        label_y=y,
        label_width=len(label) * LABEL_WIDTH + 8,
    )
