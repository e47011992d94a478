"""Decides who is told of what: a run that ended, an end that is near, a host.

Called in the transaction of what happened; sends nothing.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from testbed.access.roles import role_of
from testbed.celery import request_deliveries
from testbed.models import (
    Expiry,
    Host,
    HostSilence,
    Notification,
    NotificationChoice,
    ObservedGuest,
    Run,
    Testbed,
)
from testbed.models.notifications.choices import Channel, Kind
from testbed.models.notifications.notifications import MOST_TEXT, MOST_TITLE
from testbed.models.runs import SYSTEM

# Whoever waits for less sees the end on the page.
LONG = timedelta(seconds=20)
# A host that restarts its SSH server was not away.
SILENCE = timedelta(minutes=3)
MOST_ADMINS = 20
MOST_NAMES = 10
TITLES = {
    Run.Status.SUCCEEDED: "{} of {} succeeded",
    Run.Status.FAILED: "{} of {} failed",
    Run.Status.CANCELLED: "{} of {} was cancelled",
    Run.Status.INTERRUPTED: "{} of {} was interrupted",
}


def tell(
    users: Iterable[User],
    kind: Kind,
    title: str,
    *,
    text: str = "",
    path: str = "",
    data: Mapping[str, object] | None = None,
) -> int:
    """Tell users of a thing in the ways that they chose; return how many.

    `path` is the address of its page on this site, `data` what programs get besides.
    Users who may not sign in are told nothing.
    """
    found = {user.pk: user for user in users if user.is_active}
    choices = NotificationChoice.objects.of(found)
    line = " ".join(title.split())  # it is the subject of a mail
    values = {"title": line[:MOST_TITLE], "text": text[:MOST_TEXT], "path": path}
    told = 0
    with transaction.atomic():
        for pk, user in sorted(found.items()):
            wanted = [way for way in Channel if choices[pk].wants(kind, way)]
            if not wanted:
                continue
            row = Notification.objects.create(
                user=user, kind=kind, data=data or {}, **values
            )
            row.deliver_to(way for way in wanted if _is_sent(way, found[pk]))
            told += 1
        if told:
            transaction.on_commit(request_deliveries)
    return told


def _is_sent(way: Channel, user: User) -> bool:
    """Return whether something is sent; a lab without a mail server sends no mail."""
    if way is Channel.MAIL:
        return bool(settings.EMAIL_HOST and user.email)
    return way is Channel.WEBHOOK


def tell_run_ended(run: Run) -> int:
    """Tell the user who asked for a run that it ended; return how many were told.

    Users are told of runs that took long or failed, unless they cancelled them. Runs of
    the system are told to the testbed's owner, when they failed. Each end is told to the
    owner besides, who is told in no way unless it was chosen.
    """
    is_systems = run.asked_as == SYSTEM
    user = run.testbed.owner if is_systems else run.asked_by
    told = _tell_of_run(run, run.testbed.owner, Kind.EVERY_RUN)
    if not _matters(run, user, is_systems=is_systems):
        return told
    if role_of(user, run.testbed) is None:  # a share that was taken away meanwhile
        return told
    return told + _tell_of_run(run, user, Kind.RUN_ENDED)


def _tell_of_run(run: Run, user: User, kind: Kind) -> int:
    testbed = run.testbed.seen_by(user)
    return tell(
        [user],
        kind,
        TITLES[Run.Status(run.status)].format(run.name, testbed),
        text=run.message,
        path=reverse("run", args=[run.pk]),
        data={
            **_named(testbed),
            "run": run.pk,
            "status": str(run.status),
            "command": str(run.command),
            "by": "" if run.asked_as == SYSTEM else str(run.asked_by),
        },
    )


def _matters(run: Run, user: User, *, is_systems: bool) -> bool:
    if run.status in (Run.Status.FAILED, Run.Status.INTERRUPTED):
        return True
    if is_systems or run.cancel_requested_by_id == user.pk:
        return False
    began, ended = run.created_at, run.ended_at
    return ended is not None and ended - began >= LONG


def tell_end_near(expiry: Expiry, title: str, text: str) -> int:
    """Tell a testbed's owner that its end is near, or lab admins when the owner left."""
    testbed = expiry.testbed
    users = [testbed.owner] if testbed.owner.is_active else _admins()
    ends_at = expiry.ends_at.isoformat() if expiry.ends_at else ""
    return tell(
        users,
        Kind.END_NEAR,
        title,
        text=text,
        path=reverse("testbed", args=[testbed]),
        data={**_named(testbed), "ends_at": ends_at},
    )


def _named(testbed: Testbed) -> dict[str, str]:
    """Return what programs get of a testbed: the name that its text has, and its key."""
    return {"testbed": str(testbed), "key": testbed.key}


def watch_hosts() -> int:
    """Tell of hosts that went away, and of those that are back; return how many."""
    now = timezone.now()
    silent = dict(Host.objects.exclude(problem="").values_list("pk", "problem"))
    told = 0
    for row in HostSilence.objects.select_related("host").exclude(host__in=silent):
        with transaction.atomic():
            gone = HostSilence.objects.filter(pk=row.pk, told_at=row.told_at)
            if gone.delete()[0] and row.told_at is not None:
                told += _tell_of_host(row, f"Host {row.host} answers again", "")
    for pk, problem in silent.items():
        row, _ = HostSilence.objects.get_or_create(host_id=pk, defaults={"since": now})
        if row.told_at is None and not now - SILENCE < row.since <= now:
            with transaction.atomic():
                mine = HostSilence.objects.filter(pk=pk, told_at=None)
                if mine.update(told_at=now):
                    told += _tell_of_host(row, _away(row, now), problem)
    return told


def _away(row: HostSilence, now: datetime) -> str:
    minutes = max(1, (now - row.since) // timedelta(minutes=1))
    return f"Host {row.host} has not answered for {minutes} min"


def _tell_of_host(row: HostSilence, title: str, problem: str) -> int:
    """Tell lab admins, and the owners of testbeds with guests on it."""
    host = row.host
    guests = ObservedGuest.objects.filter(host=host.name).values("testbed")
    testbeds = Testbed.objects.filter(pk__in=guests).select_related("owner")
    owned: dict[User, list[str]] = {}
    for testbed in testbeds.order_by("name", "pk"):
        owned.setdefault(testbed.owner, []).append(testbed.name)
    told = 0
    for user in {*_admins(), *owned}:
        names = owned.get(user, [])
        mine = f"It has guests of {listed(names)}." if names else ""
        told += tell(
            [user],
            Kind.HOST_AWAY,
            title,
            text=f"{mine} {problem}".strip(),
            path=reverse("host", args=[host.name]),
            data={"host": host.name, "answers": not problem, "testbeds": names},
        )
    return told


def listed(names: list[str]) -> str:
    """Return the first of names, and how many more there are."""
    shown = ", ".join(names[:MOST_NAMES])
    left = len(names) - MOST_NAMES
    return f"{shown} and {left} more" if left > 0 else shown


def _admins() -> list[User]:
    admins = User.objects.filter(is_active=True, is_superuser=True)
    return list(admins.order_by("pk")[:MOST_ADMINS])
