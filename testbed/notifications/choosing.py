"""Changes what a user is told, and the user's webhook."""

from collections.abc import Collection

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from testbed.access.record import write
from testbed.celery import request_deliveries
from testbed.models import Delivery, Notification, NotificationChoice
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


def send_again(user: User, number: int) -> None:
    """Call the webhook once more with the same body, and the same `webhook-id`.

    Attempts and pauses begin anew; the present address and secret are used. Raises:
    Delivery.DoesNotExist, WebhookRefused (it is not over, or nothing is called now).
    """
    with transaction.atomic():
        calls = Delivery.objects.select_for_update(of=("self",)).of(user)
        row = calls.filter(channel=Channel.WEBHOOK).get(pk=number)
        if row.status == Delivery.Status.WAITING:
            raise WebhookRefused(
                "This delivery is not over yet.", hint="Wait for its last attempt."
            )
        if not choice_of(user).has_webhook:
            raise WebhookRefused(
                "Nothing is sent to a webhook now.",
                hint="Set one, or send a test, on the page Settings.",
            )
        row.status, row.tries, row.due_at = row.Status.WAITING, 0, timezone.now()
        row.save(update_fields=["status", "tries", "due_at"])
        transaction.on_commit(request_deliveries)
    write(user, NOTIFICATIONS, f"sent delivery {number} to the webhook again")
