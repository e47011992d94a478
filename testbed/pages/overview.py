"""The contents of a testbed's page: `guests_of` joins its state with the last observation.

`listing` has the list of testbeds. Reads only; no page talks to a host.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from django.db.models import (
    BooleanField,
    Count,
    ExpressionWrapper,
    OuterRef,
    Q,
    Subquery,
)
from django.db.models.functions import Coalesce

from orchestration.errors import StateError
from orchestration.plan.model import Command
from orchestration.project.digests import with_files_now
from orchestration.state.model import GuestState, ScriptState, State
from orchestration.state.selection import select_guests
from testbed.hosts.power import requested_statuses
from testbed.models import ObservedGuest, Run, Testbed, TrashItem
from testbed.models.runs import RunQuerySet
from testbed.pages.freshness import is_late
from testbed.pages.traffic import Rate
from testbed.testbeds.executions import last_failed

UP = {"running", "blocked"}
# The condition of a testbed while a run changes it.
CHANGING = {
    "up": "starting",
    "down": "stopping",
    "generate-artefacts": "generating",
    "clear-artefacts": "deleting",
}
# As many guests are read by their names.
_FEW = 200
UNKNOWN = "unknown"
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class GuestRow:
    """One guest of a testbed, as planned and as last observed.

    `is_requested`: a user turned it off or paused it.
    """

    guest: GuestState
    status: str
    observed: ObservedGuest | None
    is_requested: bool = False

    @property
    def is_fault(self) -> bool:
        """Return whether it does not run, and no user asked for that."""
        return not (self.is_up or self.is_requested)

    @property
    def is_up(self) -> bool:
        """Return whether it was running when last observed."""
        return self.status in UP

    @property
    def load(self) -> float | None:
        """Return how much of its vCPUs it used between the last two looks, in percent.

        None before the second look, and while it does not run.
        """
        if self.observed is None or not self.is_up:
            return None
        return self.observed.cpu_percent or None

    @property
    def rates(self) -> dict[str, Rate]:
        """Return the traffic of its taps between the last two looks.

        Nothing while it does not run, and where the former of them is long ago.
        """
        if self.observed is None or not self.is_up:
            return {}
        until = self.observed.observed_at
        known = (
            (tap, Rate(until=until, **counts["rate"]))
            for tap, counts in self.observed.interfaces.items()
            if "rate" in counts
        )
        return {tap: rate for tap, rate in known if not is_late(rate.since)}

    @property
    def management_address(self) -> str:
        """The address by which orchestration reaches it."""
        management = self.guest.management
        return management.address if management else ""

    @property
    def setup(self) -> str:
        """Return its setup script's status: none, not run, done, failed or changed."""
        markers = self.guest.markers
        return script_status(
            self.guest.setup_script, markers.script, markers.script_exit_code
        )


def script_status(
    script: ScriptState | None, digest: str, exit_code: int | None
) -> str:
    """Return the status of a script of which this digest ended with this code."""
    if script is None:
        return "none"
    if not digest:
        return "not run"
    if exit_code:
        return "failed"
    return "done" if digest == script.sha256 else "changed"


def guests_on_hosts() -> dict[str, int]:
    """Return how many guests run on each host that has some, by its name."""
    running = ObservedGuest.objects.filter(status__in=UP).order_by()
    return dict(running.values_list("host").annotate(count=Count("id")))


def condition_of(testbed: Testbed, last_run: Run | None) -> str:
    """Return a testbed's condition as shown; a run that has begun takes precedence."""
    if last_run is not None and last_run.has_begun and not last_run.is_over:
        return CHANGING.get(last_run.command, testbed.condition)
    return testbed.condition


@dataclass(frozen=True, slots=True)
class PageRuns:
    """The runs of a testbed's page: the newest that changes it, and all active ones.

    Of the active ones tools are last. `recent` are the newest of those that are shown.
    """

    last: Run | None
    active: list[Run]
    recent: list[Run]


def runs_of_page(testbed: Testbed, shown: RunQuerySet, most: int) -> PageRuns:
    """Return the runs of a testbed's page, at most so many of `shown` (one query)."""
    own = Run.objects.filter(testbed=testbed)
    newest = Subquery(own.filter(is_exclusive=True).values("pk")[:1])
    recent = Q(pk__in=shown.values("pk")[:most])
    either = recent | Q(pk=newest) | Q(testbed=testbed, status__in=Run.ACTIVE)
    is_recent = ExpressionWrapper(recent, BooleanField())
    found = list(Run.objects.filter(either).listed().annotate(is_recent=is_recent))
    return PageRuns(
        next((run for run in found if run.is_exclusive), None),
        sorted((r for r in found if not r.is_over), key=lambda run: run.is_tool),
        [run for run in found if vars(run)["is_recent"]],
    )


def unseen_run(testbed: Testbed) -> Run | None:
    """Return the last run that changed it, if it ended after the last look at the hosts."""
    runs = testbed.runs.begun().filter(is_exclusive=True)
    return unseen_of(testbed, runs.defer("plan").first())


def unseen_of(testbed: Testbed, last_run: Run | None) -> Run | None:
    """Return the last run that changed it, if no look at the hosts came after its end."""
    if last_run is None or last_run.ended_at is None:
        return None
    if last_run.command == Command.GENERATE_ARTEFACTS:
        return None
    seen_at = testbed.observed_at
    return None if seen_at and seen_at >= last_run.ended_at else last_run


def tags_and_trash(testbed: Testbed) -> tuple[list[str], int]:
    """Return its tags, and how many of its deleted files are in the trash (one query)."""
    items = TrashItem.objects.filter(origin=OuterRef("pk")).order_by()
    count = items.values("origin").annotate(count=Count("pk")).values("count")
    own = Testbed.objects.filter(pk=testbed.pk).order_by("tags__name")
    rows = list(own.values_list("tags__name", Coalesce(Subquery(count), 0)))
    return [name for name, _ in rows if name], rows[0][1] if rows else 0


def state_of(testbed: Testbed) -> tuple[State | None, StateError | None]:
    """Return the testbed's state, or none with the reason if it cannot be read."""
    if not testbed.project.has_state():
        return None, None
    try:
        return testbed.project.read_state(), None
    except StateError as exc:
        return None, exc


def guests_of(testbed: Testbed, state: State | None) -> list[GuestRow]:
    """Return the guests with their observations and current scripts.

    One query, three where guests are off.
    """
    if state is None:
        return []
    state = with_files_now(testbed.project.files, state)
    seen = testbed.observed_guests.all()
    if len(state.guests) <= _FEW:  # of a testbed of a thousand, too
        seen = seen.filter(name__in=[guest.name for guest in state.guests])
    observed = {guest.name: guest for guest in seen}
    missing = ABSENT if testbed.observed_at else UNKNOWN
    is_idle = any(one.status not in UP for one in observed.values())
    requested = requested_statuses(testbed) if is_idle else {}
    rows = []
    for guest in state.guests:
        one = observed.get(guest.name)
        status = one.status if one else missing
        is_requested = requested.get(guest.name) == status
        rows.append(GuestRow(guest, status, one, is_requested))
    return rows


class SelectedGuests(Sequence[GuestRow]):
    """The guests that a pattern selects, all for ''. Raises: SelectionFailed.

    Their observations are read for the part of them that is taken.
    """

    def __init__(self, testbed: Testbed, state: State | None, pattern: str) -> None:
        self._testbed, self._state = testbed, state
        self._guests = state.guests if state else ()
        if state is not None and pattern:
            failed = last_failed(testbed)
            names = set(select_guests(state, pattern, failed=failed))
            self._guests = tuple(g for g in state.guests if g.name in names)

    def __len__(self) -> int:
        return len(self._guests)

    @overload
    def __getitem__(self, place: int) -> GuestRow: ...

    @overload
    def __getitem__(self, place: slice) -> list[GuestRow]: ...

    def __getitem__(self, place: int | slice) -> GuestRow | list[GuestRow]:
        if isinstance(place, int):
            return self[slice(place, place + 1 or None)][0]
        if self._state is None:
            return []
        part = self._state.model_copy(update={"guests": self._guests[place]})
        return guests_of(self._testbed, part)
