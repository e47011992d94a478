"""Requests of the API that carry a key, so that a repeated one is answered alike."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class KeyedRequest(models.Model):
    """One request of a user: `digest` is of its address and body, `answer` its JSON.

    `status` is 0 while the request is served.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    key = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    location = models.CharField(max_length=400, blank=True)
    answer = models.JSONField(default=dict)
    made_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "key"], name="one_request_per_user_and_key"
            ),
        )

    def __str__(self) -> str:
        return self.key
