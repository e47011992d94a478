"""The parts of a testbed that should be up but were observed to be missing.

From rows only: guests as last observed, and the parts of the network that the last
look did not find. `up` restores all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from testbed.models import Run, Testbed
from testbed.pages.diagram.layout import Diagram
from testbed.pages.overview import ABSENT, GuestRow

SHOWN = 8
GONE = "is gone"


@dataclass(frozen=True, slots=True)
class Drift:
    """The faults, a sentence each; `gone_bridges` are pairs of host and name."""

    lines: tuple[str, ...] = ()
    more: int = 0
    gone_bridges: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.lines)


def drift_of(testbed: Testbed, rows: Iterable[GuestRow]) -> Drift:
    """Return the parts that should be there and were observed to be missing."""
    last = testbed.runs.deciding().defer("plan").first()
    if last is None or last.command != "up" or last.status in Run.ACTIVE:
        return Drift()
    if testbed.observed_at is None or testbed.condition != Testbed.Condition.PARTIAL:
        return Drift()
    parts = list(testbed.missing_parts.all())
    # A part that a failed or cancelled `up` never made cannot be gone.
    verb = GONE if last.status == Run.Status.SUCCEEDED else "is missing"
    lines = [part.text for part in parts]
    lines += [_guest(row) for row in rows if row.is_fault]
    lines = [line.replace(GONE, verb) for line in lines]
    gone = frozenset((part.host, part.name) for part in parts if part.kind == "bridge")
    return Drift(tuple(lines[:SHOWN]), max(0, len(lines) - SHOWN), gone)


def marked(diagram: Diagram, drift: Drift) -> Diagram:
    """Return the diagram with the missing bridges marked."""
    gone = drift.gone_bridges
    bars = (replace(b, is_gone=(b.host, b.label) in gone) for b in diagram.bars)
    return replace(diagram, bars=tuple(bars))


def _guest(row: GuestRow) -> str:
    verb = GONE if row.status == ABSENT else f"is {row.status}"
    return f"guest {row.guest.name} {verb} on {row.guest.host}"
