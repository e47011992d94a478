"""An act: its name, its family, where it can happen, and what it does.

`places` returns the targets that exist now, from the last look. `do` acts, names the
guests that it may restart with `Lab.touch`, and notes what must hold at once with
`Lab.require`; all else is compared by `checks.py` afterwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestration.state.model import GuestState
from tests.live.chaos.lab import Lab, Testbed

# A testbed, or a testbed with one of its guests, or a host's name.
Place = Any


class Family(StrEnum):
    """The families of acts."""

    RUN = "run"
    CANCEL = "cancel"
    EDIT = "edit"
    KILL = "kill"
    DELETE = "delete"
    CUT = "cut"
    FILL = "fill"
    FOREIGN = "foreign"


@dataclass(frozen=True)
class Act:
    """One kind of act; a heavier one is chosen more often."""

    family: Family
    name: str
    places: Callable[[Lab], Sequence[Place]]
    do: Callable[[Lab, Place], None]
    weight: int = 2


def anywhere(lab: Lab) -> list[Testbed]:
    """Return all testbeds."""
    return list(lab.testbeds.values())


def up(lab: Lab) -> list[Testbed]:
    """Return the testbeds that are up and whole."""
    return lab.whole()


def deployed(lab: Lab) -> list[Testbed]:
    """Return the testbeds of which something is on the hosts."""
    return [testbed for testbed, _ in lab.states() if not lab.is_down(testbed)]


def down(lab: Lab) -> list[Testbed]:
    """Return the testbeds of which nothing is on the hosts."""
    return [testbed for testbed in anywhere(lab) if lab.is_down(testbed)]


def running(lab: Lab) -> list[tuple[Testbed, GuestState]]:
    """Return the running guests."""
    return lab.guests("running")


def once(lab: Lab) -> list[str]:
    """Return one place: the act is on the product itself."""
    return ["the product"] if lab.testbeds else []


def where(place: Place) -> str:
    """Name a place for the log."""
    if isinstance(place, tuple):
        testbed, thing = place
        return f"{testbed.slug}, {getattr(thing, 'name', thing)}"
    return getattr(place, "slug", str(place))
