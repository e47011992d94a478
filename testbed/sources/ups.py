"""Brings a testbed up after a push, as the user who chose that, while the user still may.

An Up waits in the source's row: it is due after a fetch for a push that changed files. A
push of a guest that an Up starts could go round for ever, so that one testbed begins at
most one in `PAUSE` and `MOST_IN_A_DAY` in a day; pushes between are one Up, of the newest
commit. An Up that is refused or has to wait is told to the user.
"""

import logging
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.urls import reverse
from django.utils import timezone

from orchestration.errors import TestbedBusy, TestbedError
from orchestration.plan.model import Command, Options
from testbed.access.permissions import Act, NotAllowed, acted_as
from testbed.access.record import Outcome, write_on_testbed
from testbed.models import Run, Source
from testbed.models.notifications.choices import Kind
from testbed.models.sources.rows import MOST_SAID
from testbed.notifications.telling import tell
from testbed.runs.dispatch import SERVER, hand_over
from testbed.runs.starting import start_command

logger = logging.getLogger(__name__)
PAUSE = timedelta(minutes=5)
DAY = timedelta(days=1)
MOST_IN_A_DAY = 50
UNEXPECTED = "An unexpected error happened; the server's log has it."
UP_FIELDS = ("up_by", "up_commit", "up_times", "up_said")


def bring_up_waiting() -> int:
    """Begin each Up that waits and may begin now; return how many began."""
    rows = Source.objects.exclude(up_commit="").order_by("pk")
    found = [bring_up(pk) for pk in rows.values_list("pk", flat=True)]
    return sum(run is not None for run in found)


def bring_up(
    testbed_id: int, now: datetime | None = None, *, pause: timedelta = PAUSE
) -> Run | None:
    """Begin the Up of a testbed that waits, if it may begin now; tell what stops it."""
    now = now or timezone.now()
    try:
        with transaction.atomic():
            source = _due(testbed_id, now, pause)
            if source is None or source.up_by is None:
                return None
            return _begin(source, source.up_by, now)
    except TestbedBusy as exc:
        _say(testbed_id, f"It waits: {exc.message}")
    except NotAllowed as exc:
        _refuse(testbed_id, exc.problem.message, now, ends=True)
    except TestbedError as exc:
        _refuse(testbed_id, exc.sentence, now)
    except OperationalError:  # of the database: the Up waits for the next look
        logger.exception("Up of testbed %d after a push", testbed_id)
    except Exception:  # those of other testbeds begin all the same
        logger.exception("Up of testbed %d after a push", testbed_id)
        _refuse(testbed_id, UNEXPECTED, now)
    return None


def _locked(testbed_id: int) -> Source | None:
    rows = Source.objects.select_for_update(of=("self",)).defer("manifest")
    return rows.select_related("testbed__owner", "up_by").filter(pk=testbed_id).first()


def _due(testbed_id: int, now: datetime, pause: timedelta) -> Source | None:
    """Return a source, locked, whose Up may begin now."""
    source = _locked(testbed_id)
    if source is None or not source.up_commit:
        return None
    if source.up_by is None:  # removed meanwhile
        source.up_commit = ""
        source.save(update_fields=UP_FIELDS)
        return None
    times = _times_of_a_day(source, now)
    is_soon = bool(times) and now.timestamp() < times[-1] + pause.total_seconds()
    return None if is_soon or len(times) >= MOST_IN_A_DAY else source


def _times_of_a_day(source: Source, now: datetime) -> list[float]:
    """Return when Ups began or were refused in a day; none in the future."""
    begin = (now - DAY).timestamp()
    return [at for at in source.up_times if begin < at <= now.timestamp()]


def _begin(source: Source, user: User, now: datetime) -> Run:
    """Begin the Up as a user. Raises: as `start_command`."""
    commit = source.up_commit
    why = f" after a push of {commit[:10]}"
    run = start_command(source.testbed, user, Command.UP, Options(), why=why)
    source.up_commit, source.up_said = "", f"Run {run.pk} began for {commit[:10]}."
    source.up_times = [*_times_of_a_day(source, now), now.timestamp()]
    source.save(update_fields=UP_FIELDS)
    hand_over(run.pk, SERVER)  # no client comes
    if run.status == Run.Status.WAITING:
        text = f"Commit {commit[:10]}. It begins by itself."
        _tell(source, user, "Up of {} waits in the queue", text, run)
    return run


def _say(testbed_id: int, words: str) -> None:
    Source.objects.filter(pk=testbed_id).update(up_said=words[:MOST_SAID])


def _refuse(testbed_id: int, words: str, now: datetime, *, ends: bool = False) -> None:
    """Note that an Up does not begin, and tell it; the same words are told once.

    `ends`: the user may no more, so that the owner is told, and no push begins another.
    """
    with transaction.atomic():
        source = _locked(testbed_id)
        if source is None or source.up_by is None:
            return
        user, commit = source.up_by, source.up_commit
        is_known = source.up_said == words[:MOST_SAID]
        source.up_commit, source.up_said = "", words[:MOST_SAID]
        source.up_times = [*_times_of_a_day(source, now), now.timestamp()]
        if ends:
            source.up_by = None
        source.save(update_fields=UP_FIELDS)
        if is_known:
            return
        what = f"Up after a push of {commit[:10]}: {words}"
        write_on_testbed(
            user,
            Act.UP.name.lower(),
            source.testbed,
            what,
            role=acted_as(user, source.testbed),
            outcome=Outcome.REFUSED,
        )
        told = source.testbed.owner if ends else user
        _tell(source, told, "Up of {} after a push was refused", words)


def _tell(
    source: Source, user: User, title: str, text: str, run: Run | None = None
) -> None:
    testbed = source.testbed.seen_by(user)
    page = reverse("testbed-source", args=[testbed])
    data = {"testbed": str(testbed), "key": testbed.key, "commit": source.commit}
    tell(
        [user],
        Kind.PUSH_UP,
        title.format(testbed),
        text=text,
        path=reverse("run", args=[run.pk]) if run else page,
        data=data | ({"run": run.pk} if run else {}),
    )
