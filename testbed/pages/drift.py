"""The parts of a testbed that should be up but were observed to be missing.

From rows only: guests as last observed, and the parts of the network that the last
look did not find. `up` restores all of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from testbed.models import Run, Testbed
from testbed.pages.diagram.parts import Diagram
from testbed.pages.overview import ABSENT, GuestRow

SHOWN = 8
GONE = "is gone"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault in words; those of a guest follow after its name."""

    text: str
    guest: str = ""

    def __str__(self) -> str:
        return f"guest {self.guest} {self.text}" if self.guest else self.text


@dataclass(frozen=True, slots=True)
class Drift:
    """The faults that are shown; `gone_bridges` are pairs of host and name."""

    faults: tuple[Fault, ...] = ()
    more: int = 0
    gone_bridges: frozenset[tuple[str, str]] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.faults)


def drift_of(testbed: Testbed, rows: Iterable[GuestRow], newest: Run | None) -> Drift:
    """Return the parts that should be there and were observed to be missing.

    `newest` is the testbed's newest exclusive run.
    """
    last = newest
    if newest is not None and not newest.is_deciding:
        last = testbed.runs.deciding().defer("plan").first()
    if last is None or last.command != "up" or last.status in Run.ACTIVE:
        return Drift()
    if testbed.observed_at is None or testbed.condition != Testbed.Condition.PARTIAL:
        return Drift()
    parts = list(testbed.missing_parts.all())
    # A part that a failed or cancelled `up` never made cannot be gone.
    verb = GONE if last.status == Run.Status.SUCCEEDED else "is missing"
    faults = [Fault(part.text.replace(GONE, verb)) for part in parts]
    faults += [_fault(row, verb) for row in rows if row.is_fault]
    gone = frozenset((part.host, part.name) for part in parts if part.kind == "bridge")
    return Drift(tuple(faults[:SHOWN]), max(0, len(faults) - SHOWN), gone)


def marked(diagram: Diagram, drift: Drift) -> Diagram:
    """Return the diagram with the missing bridges marked."""
    gone = drift.gone_bridges
    bars = (replace(b, is_gone=(b.host, b.label) in gone) for b in diagram.bars)
    return replace(diagram, bars=tuple(bars))


def _fault(row: GuestRow, gone: str) -> Fault:
    verb = gone if row.status == ABSENT else f"is {row.status}"
    return Fault(f"{verb} on {row.guest.host}", row.guest.name)
