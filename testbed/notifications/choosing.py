"""Changes what a user is told, and the user's webhook."""

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import transaction

from testbed.access.record import write
from testbed.celery import request_deliveries
from testbed.models import Notification, NotificationChoice
from testbed.models.notifications.choices import CHOSEN_KINDS, Channel, Kind
from testbed.models.record.entries import NOTIFICATIONS
from testbed.notifications.webhooks import WebhookRefused, check_url, new_secret

PARTING = ":"


def choice_of(user: User) -> NotificationChoice:
    """Return a user's choice; one that was never made is the usual one, not saved."""
    return NotificationChoice.objects.of([user.pk])[user.pk]


def choose(user: User, chosen: Collection[str]) -> None:
    """Set the ways of all kinds; `chosen` holds pairs such as `run_ended:mail`."""
    ways = {
        str(kind): [str(way) for way in Channel if f"{kind}{PARTING}{way}" in chosen]
        for kind in CHOSEN_KINDS
    }
    NotificationChoice.objects.update_or_create(user=user, defaults={"channels": ways})
    write(user, NOTIFICATIONS, "chose what to be told of")


def set_webhook(user: User, text: str) -> str:
    """Set the webhook's address; return its new secret. Raises: WebhookRefused."""
    secret = new_secret()
    values = {
        "webhook_url": check_url(text),
        "secret": secret,
        "failures": 0,
        "stopped_because": "",
    }
    NotificationChoice.objects.update_or_create(user=user, defaults=values)
    write(user, NOTIFICATIONS, "set a webhook")
    return secret


def remove_webhook(user: User) -> None:
    """Forget the webhook and its secret."""
    empty = dict.fromkeys(("webhook_url", "secret", "stopped_because"), "")
    NotificationChoice.objects.filter(user=user).update(**empty, failures=0)
    write(user, NOTIFICATIONS, "removed the webhook")


def try_webhook(user: User) -> None:
    """Send a test to the webhook, once, also to one that is called no more.

    Raises: WebhookRefused (there is none, or a test is under way).
    """
    with transaction.atomic():
        mine = NotificationChoice.objects.select_for_update().filter(user=user)
        choice = mine.first()
        if choice is None or not choice.webhook_url:
            raise WebhookRefused("There is no webhook to test.", hint="Set one first.")
        tests = Notification.objects.filter(user=user, kind=Kind.TEST)
        if tests.filter(deliveries__status="waiting").exists():
            raise WebhookRefused("A test is being sent.", hint="Wait for its end.")
        mine.update(failures=0, stopped_because="")
        row = Notification.objects.create(
            user=user, kind=Kind.TEST, title="A test of your webhook"
        )
        row.deliver_to([Channel.WEBHOOK])
        transaction.on_commit(request_deliveries)
    write(user, NOTIFICATIONS, "sent a test to the webhook")
