"""Tells the holders of reservations what other users did to them, or to their host.

The holders of a group's reservation are its members and managers. Called by views, in the
transaction of the act.
"""

from collections.abc import Callable
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone

from testbed.hosts.drain import drain, end_drain
from testbed.models import Host, Notification, Reservation
from testbed.models.notifications.choices import Kind
from testbed.notifications.telling import listed, tell
from testbed.reservations.wishes import in_full

MOST_IN_AN_HOUR = 20


def done_and_told(act: Callable[[], Reservation], verb: str, by: User) -> Reservation:
    """Let a user make, change or cancel a reservation, and tell its holders, or neither.

    Raises: as the act.
    """
    with transaction.atomic():
        row = act()
        tell_of_act(row, verb, by)
    return row


def tell_of_act(row: Reservation, verb: str, by: User) -> int:
    """Tell that a user `made`, `changed` or `cancelled` the reservation of others.

    No user is told of more than a few acts in an hour: a manager floods no member.
    """
    return tell(
        _with_room([user for user in _holders(row) if user != by]),
        Kind.RESERVATION,
        f"{by} {verb} {row}",
        text=f"It {'was' if verb == 'cancelled' else 'is'} {in_full(row)}.",
        path=reverse("reservation", args=[row.pk]),
        data={"host": row.host_name, "reservations": [row.pk], "act": verb},
    )


def _with_room(users: list[User]) -> list[User]:
    """Return those who were not told much: managers may act again and again."""
    since = timezone.now() - timedelta(hours=1)
    told = Notification.objects.filter(kind=Kind.RESERVATION, at__gt=since)
    rows = told.filter(user__in=users).order_by().values("user")
    counts = dict(rows.annotate(count=Count("pk")).values_list("user", "count"))
    return [user for user in users if counts.get(user.pk, 0) < MOST_IN_AN_HOUR]


def tell_drained(host: Host, by: User) -> int:
    """Tell that a host with reservations, current or to come, was drained."""
    return _tell_of_host(
        host,
        by,
        "drained",
        f"Host {host} with your reservation was drained",
        f"{host.drained_words}. No guest is started there until that ends. Wait, or "
        "change to another host:",
    )


def tell_drain_ended(host: Host, by: User) -> int:
    """Tell that guests are started on a host with reservations again."""
    title = f"Host {host} with your reservation starts guests again"
    return _tell_of_host(host, by, "open", title, "The drain ended. On it is")


def drain_and_tell(host: Host, by: User, reason: str) -> None:
    """Drain a host, and tell the holders of its reservations. Raises: DrainRefused."""
    with transaction.atomic():
        drain(host, by.get_username(), reason)
        host.refresh_from_db()
        tell_drained(host, by)


def end_drain_and_tell(host: Host, by: User) -> None:
    """End a host's drain, and tell the same users. Raises: DrainRefused."""
    with transaction.atomic():
        end_drain(host, by.get_username())
        host.refresh_from_db()
        tell_drain_ended(host, by)


def _tell_of_host(host: Host, by: User, act: str, title: str, text: str) -> int:
    """Tell each holder once, of all reservations, whose names end the text."""
    rows = Reservation.objects.claiming().not_over().filter(host=host)
    mine: dict[User, list[Reservation]] = {}
    found: dict[tuple[int | None, int | None], list[User]] = {}
    for row in rows.select_related("user"):
        holder = (row.user_id, row.group_id)
        found[holder] = found.get(holder) or _holders(row)
        for user in found[holder]:
            mine.setdefault(user, []).append(row)
    mine.pop(by, None)
    told = 0
    for user, own in mine.items():
        path = reverse("reservations")
        if len(own) == 1:
            path = reverse("reservation", args=[own[0].pk])
        told += tell(
            [user],
            Kind.RESERVATION,
            title,
            text=f"{text} {listed([str(row) for row in own])}.",
            path=path,
            data={"host": host.name, "reservations": [r.pk for r in own], "act": act},
        )
    return told


def _holders(row: Reservation) -> list[User]:
    """Return whom it is for (one query for a group's)."""
    if row.group_id is None:
        return [] if row.user is None else [row.user]
    of_group = Q(groups=row.group_id) | Q(managed_groups__group=row.group_id)
    return list(User.objects.filter(of_group).distinct().order_by("pk"))
