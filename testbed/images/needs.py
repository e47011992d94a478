"""The images and files that all testbeds' states need; changed files are read again.

Everything that deletes files (`pruning`, `stale_files`) relies on it. It is read again
before each deletion, which for a lab of many large states would take seconds if every
state were parsed each time.

A run's row appears after its state was written: a read that begins after a run began
therefore sees the run's needs. The state of an Up that waits in the queue counts, too.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import StateError
from orchestration.inventory.image_uses import Claims, claims, merged
from orchestration.project.folder import Project
from testbed.models import PlannedStart, Run, Testbed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Needs:
    """The needs of one testbed: images, and its guests' files."""

    claims: Claims = field(default_factory=Claims)
    guests: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """The needs of all testbeds, by name; `broken` are those that cannot be read.

    `busy` have an active run.
    """

    needs: Mapping[str, Needs] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    busy: frozenset[str] = frozenset()

    @property
    def claims(self) -> Claims:
        """The images that all of them need."""
        return merged(need.claims for need in self.needs.values())

    @property
    def unknown(self) -> tuple[str, ...]:
        """Return a sentence for each testbed whose needs cannot be read."""
        return tuple(f"the state of {name} cannot be read" for name in self.broken)

    @property
    def idle_guests(self) -> dict[str, frozenset[str]]:
        """The guests of each testbed that has a state and no active run."""
        idle = self.needs.keys() - self.busy
        return {name: self.needs[name].guests for name in idle}


class KnownStates:
    """Reads the states repeatedly, and keeps what did not change."""

    def __init__(self) -> None:
        self._read: dict[Path, tuple[object, Needs]] = {}

    def read(self) -> Known:
        """Return the current needs."""
        needs, broken = {}, []
        # Before the states: an Up that begins writes its state, then forgets the planned.
        queued = PlannedStart.objects.queued()
        for testbed in Testbed.objects.select_related("owner"):
            try:
                need = self._needs(testbed.project, queued.get(testbed.pk))
                if need is not None:
                    needs[testbed.slug] = need
            except StateError as exc:
                logger.info("the state of %s is not known: %s", testbed, exc)
                broken.append(testbed.full_name)
        # After the states: a run that began meanwhile is seen, if not its state.
        busy = Run.objects.changing().values_list("testbed__slug", flat=True)
        return Known(needs, tuple(broken), frozenset(busy))

    def _needs(self, project: Project, queued: int | None) -> Needs | None:
        stamps = (project.stamps(), queued)
        known = self._read.get(project.directory)
        if known is not None and known[0] == stamps:
            return known[1]
        planned = PlannedStart.objects.states_of(queued) if queued else ()
        states = (*planned, *project.read_all())
        if not states:
            return None
        guests = frozenset(g.name for state in states for g in state.machines)
        needs = Needs(claims(states), guests)
        self._read[project.directory] = (stamps, needs)
        return needs
