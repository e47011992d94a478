"""The legend of a diagram: the widths of links by traffic, and when that was observed.

Used by `layout.py` only, below the hosts. There is one where any traffic is known.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestration.amounts import size
from testbed.pages.diagram.parts import Entry
from testbed.pages.traffic import STEPS, Rate

LINE_HEIGHT, TOP = 20, 24
SAMPLE, GAP, LETTER = 26, 22, 6
# 27 Nov 16:05:02 to 16:05:07
TIME_LETTERS = 28


def legend_of(rates: Sequence[Rate], width: int, bottom: int) -> tuple[Entry, ...]:
    """Place the legend in lines of this width below a picture."""
    if not rates:
        return ()
    x, y, placed = 1, bottom + TOP, []
    for entry in _entries(rates):
        letters = TIME_LETTERS if entry.span else len(entry.text)
        wide = letters * LETTER + (SAMPLE if entry.step else 0)
        if x > 1 and x + wide > width:
            x, y = 1, y + LINE_HEIGHT
        placed.append(replace(entry, x=x, y=y))
        x += wide + GAP
    return tuple(placed)


def _entries(rates: Sequence[Rate]) -> list[Entry]:
    """Return the parts, without a place. The time is left out of a quiet picture."""
    moving = [rate for rate in rates if rate.step]
    entries = [Entry("Traffic one way", 0, 0)]
    for number, least in enumerate(STEPS, start=1):
        entries.append(Entry(f"from {size(least).replace('.0', '')}/s", 0, 0, number))
    entries.append(Entry("↓ received  ↑ sent", 0, 0))
    if moving:
        span = min(r.since for r in moving), max(r.until for r in moving)
        entries.append(Entry("", 0, 0, span=span))
    return entries
