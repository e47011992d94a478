"""Sends the mails and webhooks that are due; each is tried a few times.

A worker claims a delivery for some minutes, so that one that dies leaves it due again.
A webhook may therefore get one twice; both have the same `webhook-id`. Slow servers do not
make a batch longer than that: it begins nothing after some time, and gives the rest back.
"""

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused, SMTPResponseException
from typing import NamedTuple

from celery import shared_task
from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F
from django.urls import reverse
from django.utils import timezone

from orchestration.transport.names import own_addresses
from testbed.models import Delivery, Notification, NotificationChoice
from testbed.models.hosts import addresses_of_lab
from testbed.models.notifications.choices import Channel, Kind
from testbed.models.notifications.notifications import MOST_SAID
from testbed.notifications.webhooks import WebhookRefused, send
from testbed.outside import Address

logger = logging.getLogger(__name__)
MOST_AT_ONCE = 40
CALLED_AT_ONCE = 8
LEASE = timedelta(minutes=5)
# A mail that is begun may take eight waits of EMAIL_TIMEOUT, a call its time limit and a
# slow resolver's: all end within the lease.
BEGINS_WITHIN_S = 120.0
# Between an attempt and the next one; after the last one it is given up.
WAITS = tuple(timedelta(minutes=count) for count in (1, 5, 30, 120))
MOST_FAILURES = 10
UNEXPECTED = "An unexpected error happened; the server's log has it."
Clock = Callable[[], float]
MayBegin = Callable[[], bool]


class Outcome(NamedTuple):
    """How an attempt ended: in words, which may be none where it succeeded."""

    is_delivered: bool
    said: str = ""


Outcomes = dict[int, Outcome]  # by the ids of deliveries


@shared_task(name="testbed.tasks.notifications.deliver", ignore_result=True)
def deliver() -> None:
    """Send what is due."""
    deliver_once(timezone.now())


def deliver_once(now: datetime, *, clock: Clock = time.monotonic) -> int:
    """Send what is due now; return how many were delivered."""
    until = clock() + BEGINS_WITHIN_S
    rows = Delivery.objects.claim(now, most=MOST_AT_ONCE, lease=LEASE)
    lost = {row.pk: reason for row in rows if (reason := _lost(row))}
    mails, calls = (
        [row for row in rows if row.channel == channel and row.pk not in lost]
        for channel in (Channel.MAIL, Channel.WEBHOOK)
    )
    found = _sent(mails, calls, lambda: clock() < until)
    for row in rows:
        if row.pk in lost:
            _save(row, Outcome(False, lost[row.pk]), now, is_last=True)
        elif row.pk in found:
            _save(row, found[row.pk], now)
            _count(row)
    Delivery.objects.give_back(
        [row for row in rows if row.pk not in lost and row.pk not in found], now
    )
    return sum(outcome.is_delivered for outcome in found.values())


def _lost(row: Delivery) -> str:
    """Say why a delivery reaches its user no more; or ''."""
    user = row.notification.user
    if not user.is_active:
        return "The account was deactivated."
    if row.channel == Channel.MAIL:
        return "" if user.email else "The account has no address for mail any more."
    choice = getattr(user, "notification_choice", None)
    if choice is None or not choice.webhook_url:
        return "The webhook was removed."
    return "Nothing is sent to the webhook any more." if choice.stopped_because else ""


def _sent(
    mails: list[Delivery], calls: list[Delivery], may_begin: MayBegin
) -> Outcomes:
    """Send mails, and call webhooks at the same time; those that were not begun are left.

    Threads read no rows.
    """
    if not mails and not calls:
        return {}
    refused = addresses_of_lab(own_addresses()) if calls else frozenset()
    with ThreadPoolExecutor(CALLED_AT_ONCE + 1) as pool:
        mailed = pool.submit(_mail, mails, may_begin)
        ends = pool.map(lambda row: _call_one(row, may_begin, refused), calls)
        found = {row.pk: end for row, end in zip(calls, ends, strict=True)}
        called = {pk: end for pk, end in found.items() if end is not None}
        return mailed.result() | called


def _mail(rows: list[Delivery], may_begin: MayBegin) -> Outcomes:
    """Send mails over one connection; a server that is away fails all that are left."""
    ends: Outcomes = {}
    if not rows:
        return ends
    connection = get_connection()
    try:
        connection.open()
        for row in rows:
            if not may_begin():
                break
            end = Outcome(True)
            try:
                _message(row, connection).send()
            except (SMTPRecipientsRefused, SMTPResponseException, ValueError) as exc:
                end = Outcome(False, f"The mail server refused it: {exc}")
            except OSError:
                raise
            except Exception:  # the others are delivered all the same
                logger.exception("the mail to %s", row.notification.user)
                end = Outcome(False, UNEXPECTED)
            ends[row.pk] = end
        connection.close()
    except OSError as exc:
        left = [row.pk for row in rows if row.pk not in ends]
        logger.warning("%d mails were not sent: %s", len(left), exc)
        away = Outcome(False, f"The mail server is away: {exc}")
        ends |= dict.fromkeys(left, away)
    return ends


def _message(row: Delivery, connection: BaseEmailBackend) -> EmailMessage:
    told = row.notification
    text = "\n\n".join(part for part in (told.text, whole_address(told.path)) if part)
    settings_page = whole_address(reverse("notification-settings"))
    footer = f"Choose what you are told: {settings_page}"
    return EmailMessage(
        told.title, f"{text}\n\n{footer}\n", to=[told.user.email], connection=connection
    )


def whole_address(path: str) -> str:
    """Return the whole address of a page, or its path where the lab has no address."""
    origins = settings.CSRF_TRUSTED_ORIGINS
    return f"{origins[0] if origins else ''}{path}" if path else ""


def body_of(told: Notification) -> dict[str, object]:
    """Return the body with which a webhook is called."""
    return {
        "type": told.kind,
        "timestamp": told.at.isoformat(),
        "data": {
            "title": told.title,
            "text": told.text,
            "address": whole_address(told.path),
            **told.data,
        },
    }


def _call_one(
    row: Delivery, may_begin: MayBegin, refused: Collection[Address]
) -> Outcome | None:
    """Call a webhook; return how it ended, or None when it was not begun."""
    if not may_begin():
        return None
    told, choice = row.notification, row.notification.user.notification_choice
    url, number, now = choice.webhook_url, f"msg_{row.pk}", int(time.time())
    try:
        body, secret = body_of(told), choice.secret
        return Outcome(True, send(url, secret, number, now, body, refused=refused))
    except WebhookRefused as exc:
        return Outcome(False, exc.message)
    except Exception:  # the others are delivered all the same
        logger.exception("the webhook of %s", told.user)
        return Outcome(False, UNEXPECTED)


def _save(row: Delivery, end: Outcome, now: datetime, *, is_last: bool = False) -> None:
    is_last |= row.tries > len(WAITS) or row.notification.kind == Kind.TEST
    if end.is_delivered:
        row.status = Delivery.Status.DELIVERED
    elif is_last:
        row.status = Delivery.Status.FAILED
    else:
        row.due_at = now + WAITS[row.tries - 1]
    row.said, row.tried_at = end.said[:MOST_SAID], now
    row.save(update_fields=["status", "due_at", "said", "tried_at"])


def _count(row: Delivery) -> None:
    """Count what a webhook did not take; one that takes nothing is called no more."""
    if row.channel != Channel.WEBHOOK or row.notification.kind == Kind.TEST:
        return
    mine = NotificationChoice.objects.filter(user=row.notification.user)
    if row.status == Delivery.Status.DELIVERED:
        mine.exclude(failures=0).update(failures=0)
    elif row.status == Delivery.Status.FAILED:
        mine.update(failures=F("failures") + 1)
        said = f"{MOST_FAILURES} deliveries in a row failed; the last one: {row.said}"
        many = mine.filter(failures__gte=MOST_FAILURES, stopped_because="")
        many.update(stopped_because=said[:MOST_SAID])
