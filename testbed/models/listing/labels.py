"""The tags of testbeds, users' favourites, and who has hidden the first steps.

`testbeds/listing/labels.py` writes tags; a testbed's description is in its own row.
"""

from django.conf import settings
from django.db import models

from testbed.models.testbeds import Testbed

MOST_TAG = 30


class Tag(models.Model):
    """One word of a testbed, in lower case, by which the list is filtered."""

    testbed = models.ForeignKey(Testbed, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=MOST_TAG, db_index=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "name"], name="tag_of_a_testbed_once"
            ),
        )

    def __str__(self) -> str:
        return self.name


class HiddenTour(models.Model):
    """A user who does not want to see the first steps above the list any more."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="hidden_tour",
    )
    hidden_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.user} since {self.hidden_at}"


class Favourite(models.Model):
    """A testbed that stands first in a user's own list; other users do not see it."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="favourites"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="favourites"
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["user", "testbed"], name="favourite_of_a_user_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.user}: {self.testbed}"
