"""The contents of the testbed pages, read in few queries for any number of testbeds.

`listed` and `rows_for` are the list of testbeds; `guests_of` joins a testbed's state with the last
observation. Reads only; no page talks to a host.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import Count, Max, Q, QuerySet

from orchestration.errors import StateError
from orchestration.plan.model import Command
from orchestration.project.digests import with_files_now
from orchestration.state.model import GuestState, ScriptState, State
from orchestration.state.selection import select_guests
from testbed.access.roles import Role, roles_in
from testbed.expiry.shown import expiry_of
from testbed.hosts.power import requested_statuses
from testbed.models import Expiry, ObservedGuest, Run, Testbed
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
UNKNOWN = "unknown"
MOST_TEXT = 200
ABSENT = "absent"


class Whose(StrEnum):
    """Which of the testbeds that a user sees the list shows."""

    ALL = "all"
    MINE = "mine"
    SHARED = "shared"
    LEFT = "left"  # of users who may not sign in any more


SORTS = {
    "name": ("slug",),
    "owner": ("owner__username", "slug"),
    "condition": ("condition", "slug"),
    "created": ("created_at", "slug"),
}
SORT_WORDS = {
    "name": "by name",
    "-name": "by name, reversed",
    "owner": "by owner",
    "-owner": "by owner, reversed",
    "condition": "by condition",
    "-condition": "by condition, reversed",
    "-created": "newest first",
    "created": "oldest first",
}


@dataclass(frozen=True, slots=True)
class ListWish:
    """The part of the list of testbeds to show, and its order, as its address has it."""

    whose: Whose = Whose.ALL
    text: str = ""
    sort: str = "name"
    is_descending: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "ListWish":
        """Read an address; what it names wrongly has its usual value."""
        sort = query.get("sort", "")
        names = {whose.value for whose in Whose}
        whose = query.get("whose", "")
        return cls(
            Whose(whose) if whose in names else Whose.ALL,
            query.get("q", "").replace("\0", "").strip()[:MOST_TEXT],
            sort.removeprefix("-") if sort.removeprefix("-") in SORTS else "name",
            sort.startswith("-"),
        )

    @property
    def order(self) -> str:
        """Return how it is sorted as its address has it; `-` turns the order."""
        return f"{'-' if self.is_descending else ''}{self.sort}"

    @property
    def query(self) -> dict[str, str]:
        """Return the parts of its address that are not usual."""
        values = {"whose": self.whose.value, "q": self.text, "sort": self.order}
        usual = {"whose": Whose.ALL.value, "q": "", "sort": "name"}
        return {name: value for name, value in values.items() if value != usual[name]}

    @property
    def heads(self) -> dict[str, tuple[str, str]]:
        """Return, by column, the address that sorts by it, and how it is sorted."""
        found = {}
        for name in SORTS:
            is_this = name == self.sort
            turned = replace(
                self, sort=name, is_descending=is_this and not self.is_descending
            )
            order = "descending" if self.is_descending else "ascending"
            found[name] = (urlencode(turned.query), order if is_this else "")
        return found

    @property
    def tabs(self) -> dict[str, str]:
        """Return the addresses of the choices of `whose`."""
        return {one.value: urlencode(replace(self, whose=one).query) for one in Whose}


@dataclass(slots=True)
class Row:
    """One testbed of the list."""

    testbed: Testbed
    role: Role | None = None
    guests_up: int = 0
    guests_total: int = 0
    hosts: set[str] = field(default_factory=set)
    last_run: Run | None = None

    @property
    def condition(self) -> str:
        """Return its condition, or the one that its active run is about to reach."""
        return condition_of(self.testbed, self.last_run)

    @property
    def expiry(self) -> Expiry | None:
        """Return its end while it is up, or as one that never comes."""
        found = expiry_of(self.testbed)
        is_up = self.testbed.condition in Testbed.DEPLOYED
        is_kept = found is not None and found.action == Expiry.Action.KEEP
        return found if found and is_up and (is_kept or found.ends_at) else None

    @property
    def host_names(self) -> list[str]:
        """The hosts that its guests are assigned to."""
        return sorted(self.hosts)


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


def condition_of(testbed: Testbed, last_run: Run | None) -> str:
    """Return a testbed's condition as shown; a run that has begun takes precedence."""
    if last_run is not None and last_run.has_begun and not last_run.is_over:
        return CHANGING.get(last_run.command, testbed.condition)
    return testbed.condition


def unseen_run(testbed: Testbed) -> Run | None:
    """Return the last run that changed it, if it ended after the last look at the hosts."""
    runs = testbed.runs.begun().filter(is_exclusive=True)
    last_run = runs.defer("plan").first()
    if last_run is None or last_run.ended_at is None:
        return None
    if last_run.command == Command.GENERATE_ARTEFACTS:
        return None
    seen_at = testbed.observed_at
    return None if seen_at and seen_at >= last_run.ended_at else last_run


def listed(user: User, wish: ListWish) -> QuerySet[Testbed]:
    """Return the testbeds that a user sees and wishes to, in order."""
    found = Testbed.objects.all().visible_to(user).select_related("owner", "expiry")
    if wish.whose is Whose.MINE:
        found = found.filter(owner=user)
    elif wish.whose is Whose.SHARED:
        shared = Testbed.objects.all().shared_with(user).values("pk")
        found = found.filter(pk__in=shared)
    elif wish.whose is Whose.LEFT:
        found = found.filter(owner__is_active=False)
    if wish.text:
        by_name = Q(slug__icontains=wish.text)
        found = found.filter(by_name | Q(owner__username__icontains=wish.text))
    order = found.order_by(*SORTS[wish.sort])
    return order.reverse() if wish.is_descending else order


def rows_for(user: User, testbeds: Collection[Testbed]) -> list[Row]:
    """Return the rows of testbeds that a user sees (four queries)."""
    roles = roles_in(user, testbeds)
    rows = {testbed.pk: Row(testbed, roles.get(testbed.pk)) for testbed in testbeds}
    _count_guests(rows)
    for run in _last_runs(rows):
        rows[run.testbed_id].last_run = run
    return list(rows.values())


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
    observed = {guest.name: guest for guest in testbed.observed_guests.all()}
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


def selected_guests(
    testbed: Testbed, state: State | None, pattern: str
) -> list[GuestRow]:
    """Return the guests that a pattern selects, all for ''. Raises: SelectionFailed."""
    rows = guests_of(testbed, state)
    if state is None or not pattern:
        return rows
    names = set(select_guests(state, pattern, failed=last_failed(testbed)))
    return [row for row in rows if row.guest.name in names]


def _count_guests(rows: dict[int, Row]) -> None:
    found = ObservedGuest.objects.filter(testbed__in=list(rows))
    for pk, host, status, count in (
        found.order_by()
        .values_list("testbed", "host", "status")
        .annotate(count=Count("id"))
    ):
        row = rows[pk]
        row.guests_total += count
        row.guests_up += count if status in UP else 0
        row.hosts |= {host} if host else set()


def _last_runs(rows: dict[int, Row]) -> Iterable[Run]:
    newest = (
        Run.objects.filter(testbed__in=list(rows), is_exclusive=True)
        .order_by()
        .values("testbed")
        .annotate(newest=Max("id"))
        .values("newest")
    )
    return Run.objects.filter(pk__in=newest).select_related("asked_by").defer("plan")
