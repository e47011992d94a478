"""The rows of the list of testbeds, read in few queries for any number of them."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Count, Max

from testbed.access.permissions import Act, Permissions
from testbed.access.roles import Role, roles_in
from testbed.models import Expiry, ObservedGuest, Run, Testbed
from testbed.models.expiry import expiry_of
from testbed.pages.listing.running import Progress, progress_of
from testbed.pages.overview import UP, condition_of


@dataclass(slots=True)
class Row:
    """One testbed of the list."""

    testbed: Testbed
    role: Role | None = None
    guests_up: int = 0
    guests_total: int = 0
    hosts: set[str] = field(default_factory=set)
    last_run: Run | None = None
    is_favourite: bool = False
    progress: Progress | None = None

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
    def ends_at(self) -> datetime | None:
        """Return when it ends; None while it is down, and where it never does."""
        return self.expiry.ends_at if self.expiry else None

    @property
    def can_act(self) -> bool:
        """Return whether the user may bring it up and down."""
        return self.may(Act.UP)

    def may(self, act: Act) -> bool:
        """Return whether the user may do this to it."""
        return Permissions(self.role).allows(act)

    @property
    def host_names(self) -> list[str]:
        """The hosts that its guests are assigned to."""
        return sorted(self.hosts)


def rows_for(user: User, testbeds: Collection[Testbed]) -> list[Row]:
    """Return the rows of testbeds that a user sees (three queries).

    Two more where runs are going on.
    """
    roles = roles_in(user, testbeds)
    rows = rows_of([testbed.seen_by(user) for testbed in testbeds])
    for row in rows:
        row.role = roles.get(row.testbed.pk)
        row.is_favourite = getattr(row.testbed, "is_favourite", False)
    return rows


def rows_of(testbeds: Collection[Testbed]) -> list[Row]:
    """Return the rows of testbeds without what is a user's own (two queries, or four)."""
    rows = {testbed.pk: Row(testbed) for testbed in testbeds}
    _count_guests(rows)
    last = list(_last_runs(rows))
    progress = progress_of(last)
    for run in last:
        row = rows[run.testbed_id]
        row.last_run, row.progress = run, progress.get(run.pk)
    return list(rows.values())


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
