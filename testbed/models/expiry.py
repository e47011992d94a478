"""When a testbed that is up ends, how, and how far its end has come.

`testbed/expiry/` writes the rows; the end of a run sets the first end, and clears it
where the testbed is down. Times are those of the database's clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import connection, models
from django.db.models.functions import Coalesce, Least

from testbed.models.runs import Run
from testbed.models.testbeds import Testbed


def database_now() -> datetime:
    """Return the time by the database's clock, which all processes share."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_TIMESTAMP")
        found = cursor.fetchone()[0]
    if isinstance(found, datetime):
        return found
    return datetime.fromisoformat(found).replace(tzinfo=UTC)


class ExpiryQuerySet(models.QuerySet["Expiry"]):
    """Selects ends, and sets and clears them as testbeds come up and go down."""

    def ending(self, until: datetime) -> "ExpiryQuerySet":
        """Return those of testbeds that end until a time, the nearest first."""
        own, idle = models.F("expires_at"), models.F("idle_at")
        ends = Least(Coalesce(own, idle), Coalesce(idle, own))
        found = self.filter(testbed__condition__in=Testbed.DEPLOYED)
        return found.annotate(ends=ends).filter(ends__lte=until).order_by("ends", "pk")

    def settle(
        self, testbed: Testbed, condition: str, now: datetime | None = None
    ) -> None:
        """Set the first end of a testbed that is up, or clear that of one that is not.

        An end that is there stays: no further run shortens or extends it.
        """
        if condition not in Testbed.DEPLOYED:
            self.filter(testbed=testbed).update(**NO_END)
        elif settings.EXPIRY.usual:
            self.get_or_create(testbed=testbed)
            ends_at = (now or database_now()) + settings.EXPIRY.usual
            fresh = self.filter(testbed=testbed, expires_at=None)
            fresh.exclude(action=Expiry.Action.KEEP).update(expires_at=ends_at)


class Expiry(models.Model):
    """The end of one testbed; the row stays while it is down, for the choice of `action`.

    `expires_at` is None while it is down, where it has no end, and where a lab admin
    chose that it never ends. `idle_at` is the earlier end of one that is not used, and a user
    who extended it at `extended_at` uses it. The end is announced at `warned_at`; `seen_at` is the last sweep since then.
    `tries` counts the attempts that failed, the last one at `tried_at`, of which `said`
    tells. `run` is the attempt that is on. `is_stored`: only the stop is left.
    """

    class Action(models.TextChoices):
        SNAPSHOT = "snapshot", "snapshot and stop"
        STOP = "stop", "stop"
        KEEP = "keep", "never end"

    testbed = models.OneToOneField(
        Testbed, on_delete=models.CASCADE, primary_key=True, related_name="expiry"
    )
    action = models.CharField(
        max_length=8, choices=Action.choices, default=Action.SNAPSHOT
    )
    expires_at = models.DateTimeField(null=True, db_index=True)
    extended_at = models.DateTimeField(null=True)
    idle_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    seen_at = models.DateTimeField(null=True)
    tries = models.PositiveSmallIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    is_stored = models.BooleanField(default=False)
    said = models.TextField(blank=True)
    run = models.ForeignKey(Run, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = ExpiryQuerySet.as_manager()

    def __str__(self) -> str:
        return f"the end of {self.testbed}"

    @property
    def planned_at(self) -> datetime | None:
        """The end as set: the earlier one where the testbed is idle; None for never."""
        ends = [at for at in (self.expires_at, self.idle_at) if at is not None]
        return min(ends, default=None)

    @property
    def ends_at(self) -> datetime | None:
        """The end as it happens: never before the warning was given for its whole time."""
        planned, warned_at = self.planned_at, self.warned_at
        if planned is None or warned_at is None:
            return planned
        return max(planned, warned_at + settings.EXPIRY.warning)

    @property
    def latest(self) -> datetime | None:
        """The end before which no user may set it; the one for idleness does not count."""
        ends = [at for at in (self.expires_at, self.ends_at) if at is not None]
        return max(ends, default=None)

    def is_due(self, now: datetime) -> bool:
        """Return whether the testbed ends now."""
        ends_at = self.ends_at
        return ends_at is not None and self.warned_at is not None and ends_at <= now


def expiry_of(testbed: Testbed) -> Expiry | None:
    """Return a testbed's end, if it has a row."""
    try:
        found: Expiry = testbed.expiry
    except ObjectDoesNotExist:
        return None
    return found


# The values of a row whose end was not announced and not begun.
NOT_BEGUN: Mapping[str, object] = {
    "idle_at": None,
    "warned_at": None,
    "seen_at": None,
    "tries": 0,
    "tried_at": None,
    "is_stored": False,
    "said": "",
    "run": None,
}
NO_END: Mapping[str, object] = {"expires_at": None, **NOT_BEGUN}
