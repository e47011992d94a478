"""Moves a testbed's end, and chooses what happens then; called by views.

An end is never shortened here: two browsers that extend at once leave the later one.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from orchestration.errors import StateError, TestbedError
from orchestration.plan.model import Command
from testbed.access.permissions import Act, record_act, require
from testbed.models import Expiry, Testbed
from testbed.models.expiry import NO_END, NOT_BEGUN, expiry_of
from testbed.models.runs import require_no_run
from testbed.reservations.moments import in_words, moment

MOST_TEXT = 40
HOUR = timedelta(hours=1)


class ExpiryRefused(TestbedError):
    """A testbed cannot end then, or so."""


def extend(testbed: Testbed, user: User, until: datetime, now: datetime) -> Expiry:
    """Let a testbed end at a time, which is not before its present end.

    Raises: ExpiryRefused, StateError (it is not up, or ends just now), TestbedBusy.
    """
    with transaction.atomic():
        expiry = locked(testbed)
        if expiry.action == Expiry.Action.KEEP:
            raise ExpiryRefused(f"Testbed {testbed} never ends.")
        _require_up(expiry.testbed)
        _require_possible(until, now)
        latest = expiry.latest
        if latest is not None and until < latest.replace(second=0, microsecond=0):
            raise ExpiryRefused(
                f"Testbed {testbed} ends at {in_words(latest)}, which is later than "
                f"{in_words(until)}.",
                hint="Choose a later end, or stop it with Down.",
            )
        _change(expiry, NOT_BEGUN, expires_at=until, extended_at=now)
    record_act(user, Act.EXTEND, testbed, f"it ends at {in_words(until)}")
    return expiry


def extend_once(testbed: Testbed, user: User, now: datetime) -> Expiry:
    """Let a testbed end later, as one click does. Raises: as `extend`."""
    expiry = expiry_of(testbed)
    wanted, latest = next_end(expiry, now), expiry.latest if expiry else None
    if latest is not None and now < latest and wanted <= latest:
        raise ExpiryRefused(
            f"Testbed {testbed} ends at {in_words(latest)}, as late as is possible now."
        )
    return extend(testbed, user, wanted, now)


def choose(testbed: Testbed, user: User, action: str, now: datetime) -> Expiry:
    """Choose what happens at a testbed's end; lab admins alone let it have none.

    Raises: ExpiryRefused (no such choice), NotAllowed.
    """
    if action not in Expiry.Action.values:
        raise ExpiryRefused(
            f"`{action[:MOST_TEXT]}` is no end of a testbed.",
            hint=f"Choose one of {', '.join(Expiry.Action.values)}.",
        )
    chosen = Expiry.Action(action)
    if chosen is Expiry.Action.KEEP:
        require(user, Act.KEEP, testbed)
    with transaction.atomic():
        expiry = locked(testbed)
        was_kept = expiry.action == Expiry.Action.KEEP
        reset = NO_END if chosen is Expiry.Action.KEEP else {}
        _change(expiry, reset, action=chosen.value)
        if was_kept:
            Expiry.objects.settle(testbed, expiry.testbed.condition, now)
            expiry.refresh_from_db()
    record_act(user, Act.EXTEND, testbed, f"at its end: {chosen.label}")
    return expiry


def wanted_end(
    form: Mapping[str, str], expiry: Expiry | None, now: datetime
) -> datetime:
    """Return the end that a form asks for: `until`, in `hours`, or the next usual one.

    Raises: ExpiryRefused, NoMoment.
    """
    if "until" in form:
        return moment(form["until"], settings.TIME_ZONE)
    if "hours" in form:
        return now + _hours(form["hours"])
    if "extend" in form:
        return next_end(expiry, now)
    raise ExpiryRefused("No end is named.", hint="Send `until`, `hours` or `extend`.")


def next_end(expiry: Expiry | None, now: datetime) -> datetime:
    """Return the end that one click gives: the usual time more, at most the longest."""
    times = settings.EXPIRY
    present = (expiry.latest if expiry else None) or now
    wanted = max(present, now) + (times.usual or times.longest)
    return min(wanted, now + times.longest).replace(second=0, microsecond=0)


def locked(testbed: Testbed) -> Expiry:
    """Lock a testbed and return its end; inside a transaction. Raises: StateError."""
    # In this order, as the end of a run does.
    rows = Testbed.objects.select_for_update(of=("self",)).select_related("owner")
    found = rows.filter(pk=testbed.pk).first()
    if found is None:
        raise StateError(f"Testbed {testbed} was deleted.")
    found.viewer_id = testbed.viewer_id
    expiry, _ = Expiry.objects.get_or_create(testbed=found)
    expiry.testbed = found
    return expiry


def _change(expiry: Expiry, reset: Mapping[str, object], **values: object) -> None:
    changed = {**reset, **values}
    for name, value in changed.items():
        setattr(expiry, name, value)
    expiry.save(update_fields=list(changed))


def _require_up(testbed: Testbed) -> None:
    if testbed.condition not in Testbed.DEPLOYED:
        raise StateError(
            f"Testbed {testbed} is not up: it has no end.", hint="Use Up first."
        )
    require_no_run(testbed.runs.all().filter(command=Command.DOWN))


def _require_possible(until: datetime, now: datetime) -> None:
    if until <= now:
        raise ExpiryRefused(
            f"{in_words(until)} is in the past.", hint="Choose an end that is to come."
        )
    longest = settings.EXPIRY.longest
    if until > now + longest:
        raise ExpiryRefused(
            f"{in_words(until)} is more than {longest // HOUR} hours from now.",
            hint=f"Choose an end until {in_words(now + longest)}.",
        )


def _hours(text: str) -> timedelta:
    try:
        count = float(text[:MOST_TEXT])
    except ValueError:
        count = float("nan")
    longest = settings.EXPIRY.longest / HOUR
    if not isfinite(count) or not 0 < count <= longest:
        raise ExpiryRefused(
            f"`{text[:MOST_TEXT]}` is no number of hours from above 0 to {longest:g}.",
            hint="Write hours from now, such as 24.",
        )
    return timedelta(hours=count)
