"""Files that are sent in parts: what has arrived of each, for a client that goes on."""

import secrets

from django.conf import settings
from django.db import models
from django.utils import timezone

from testbed.models.testbeds import Testbed

MOST_PATH = 2048


class Upload(models.Model):
    """A file of a testbed of which `offset` of `size` bytes have arrived.

    `seen` is the tag of the file that it replaces: empty for none, `*` for any. `sha256`
    is empty where the client named no digest. The bytes are in the testbed's folder.
    """

    key = models.CharField(max_length=64, unique=True, default=secrets.token_hex)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="uploads"
    )
    path = models.CharField(max_length=MOST_PATH)
    size = models.PositiveBigIntegerField()
    offset = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    seen = models.CharField(max_length=64, blank=True)
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ("pk",)

    def __str__(self) -> str:
        return f"{self.path} of {self.testbed}"
