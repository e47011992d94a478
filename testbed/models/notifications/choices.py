"""Which things a user is told of, and by which ways; the user's webhook."""

from collections.abc import Iterable, Mapping

from django.conf import settings
from django.db import models

MOST_ADDRESS = 500


class Kind(models.TextChoices):
    """A thing that users are told of."""

    RUN_ENDED = "run_ended", "A run ended"
    EVERY_RUN = "every_run", "Each run of your testbeds ended"
    END_NEAR = "end_near", "A testbed ends soon"
    HOST_AWAY = "host_away", "A host is away"
    RESERVATION = "reservation", "Reservation changes"
    PUSH_UP = "push_up", "Up after a push waits or was refused"
    TEST = "test", "A test"


class Channel(models.TextChoices):
    """A way in which a user is told, beside the list of notifications."""

    BROWSER = "browser", "Browser"
    MAIL = "mail", "Mail"
    WEBHOOK = "webhook", "Webhook"


# What users choose; a test is sent to the webhook that it is for.
CHOSEN_KINDS = (
    Kind.RUN_ENDED,
    Kind.EVERY_RUN,
    Kind.END_NEAR,
    Kind.HOST_AWAY,
    Kind.RESERVATION,
    Kind.PUSH_UP,
)
USUAL: Mapping[str, tuple[str, ...]] = {
    Kind.RUN_ENDED: (Channel.BROWSER,),
    Kind.END_NEAR: (Channel.BROWSER, Channel.MAIL),
    Kind.HOST_AWAY: (Channel.BROWSER,),
    Kind.RESERVATION: (Channel.BROWSER, Channel.MAIL),
    Kind.PUSH_UP: (Channel.BROWSER,),
}


class ChoiceQuerySet(models.QuerySet["NotificationChoice"]):
    """Finds the choices of users; one who never chose has no row."""

    def of(self, users: Iterable[int]) -> "dict[int, NotificationChoice]":
        """Return the choices of the users with these ids (one query)."""
        ids = set(users)
        found = {row.user_id: row for row in self.filter(user__in=ids)}
        return {pk: found.get(pk) or NotificationChoice(user_id=pk) for pk in ids}


class NotificationChoice(models.Model):
    """One user's choice: `channels` has the ways of each kind; the usual ones else.

    `webhook_url` is empty without a webhook. With `secret` deliveries are signed, so it
    is kept as it is. `failures` counts the deliveries that were given up in a row;
    `stopped_because` says why nothing is sent to the webhook any more.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="notification_choice",
    )
    channels = models.JSONField(default=dict)
    webhook_url = models.CharField(max_length=MOST_ADDRESS, blank=True)
    secret = models.CharField(max_length=80, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    stopped_because = models.CharField(max_length=300, blank=True)

    objects = ChoiceQuerySet.as_manager()

    def __str__(self) -> str:
        return f"notifications of {self.user}"

    @property
    def has_webhook(self) -> bool:
        """Return whether something is sent to a webhook."""
        return bool(self.webhook_url) and not self.stopped_because

    def wants(self, kind: Kind, channel: Channel) -> bool:
        """Return whether the user is told of a kind in this way."""
        if channel is Channel.WEBHOOK and not self.has_webhook:
            return False
        return self.chose(kind, channel)

    def chose(self, kind: Kind, channel: Channel) -> bool:
        """Return whether the user chose this way, be there a webhook or not."""
        return channel in self.channels.get(kind, USUAL.get(kind, ()))
