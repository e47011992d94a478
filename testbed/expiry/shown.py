"""A testbed's end as pages and programs show it, as values."""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings

from testbed.access.permissions import Act, Permissions
from testbed.expiry.changes import next_end
from testbed.models import Expiry, Testbed
from testbed.models.expiry import expiry_of


@dataclass(frozen=True, slots=True)
class ShownEnd:
    """When a testbed that is up ends, and what its user may do about that.

    `ends_at` is None where it has no end. `extends_to` is the end that one click gives,
    None where that would change nothing or is not allowed; `latest` the last possible
    one. `choices` are the actions that the user may choose.
    """

    action: Expiry.Action
    ends_at: datetime | None
    is_announced: bool
    is_idle: bool
    is_past: bool
    said: str
    extends_to: datetime | None
    latest: datetime
    choices: tuple[Expiry.Action, ...]

    @property
    def never(self) -> bool:
        """Return whether a lab admin chose that it never ends."""
        return self.action is Expiry.Action.KEEP

    @property
    def idle_hours(self) -> int:
        """The time without any use after which it ends earlier."""
        return round(settings.EXPIRY.idle.total_seconds() / 3600)

    def json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "ends_at": self.ends_at,
            "at_end": self.action.value,
            "announced": self.is_announced,
            "idle": self.is_idle,
            "said": self.said,
        }


def shown_end(testbed: Testbed, may: Permissions, now: datetime) -> ShownEnd:
    """Return a testbed's end for a user with these permissions."""
    expiry = expiry_of(testbed) or Expiry(testbed=testbed)
    action, planned_at = Expiry.Action(expiry.action), expiry.planned_at
    is_up = testbed.condition in Testbed.DEPLOYED
    wanted = next_end(expiry, now)
    may_extend = is_up and may.allows(Act.EXTEND) and action is not Expiry.Action.KEEP
    is_later = expiry.ends_at is None or wanted > expiry.ends_at
    kept = () if may.allows(Act.KEEP) else (Expiry.Action.KEEP,)
    return ShownEnd(
        action=action,
        ends_at=expiry.ends_at if is_up else None,
        is_announced=expiry.warned_at is not None,
        is_idle=planned_at is not None and planned_at == expiry.idle_at,
        is_past=expiry.is_due(now),
        said=expiry.said,
        extends_to=wanted if may_extend and is_later else None,
        latest=(now + settings.EXPIRY.longest).replace(second=0, microsecond=0),
        choices=tuple(one for one in Expiry.Action if one not in kept),
    )
