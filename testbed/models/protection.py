"""Protections: while one is set, nothing that erases its testbed's data is accepted."""

from collections.abc import Collection

from django.conf import settings
from django.db import models
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.models.testbeds import Testbed

WHOLE_TESTBED = ""  # in place of a guest's name


class Protected(TestbedError):
    """The data of a testbed or guest is protected; nothing was erased."""


class Protection(models.Model):
    """The protection of one guest's data, or of all of a testbed (`guest` is empty)."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="protections"
    )
    guest = models.CharField(max_length=64, blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    set_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("guest",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "guest"], name="one_protection_per_guest"
            ),
        )

    def __str__(self) -> str:
        return self.thing

    @property
    def thing(self) -> str:
        """The protected thing in words."""
        return f"guest {self.guest}" if self.guest else f"testbed {self.testbed.name}"

    @property
    def refusal(self) -> Protected:
        """The error that says by whom, since when, and how it is lifted."""
        since = timezone.localtime(self.set_at)
        thing = self.thing
        return Protected(
            f"{thing[0].upper()}{thing[1:]} is protected by {self.set_by} since "
            f"{since:%-d %b %Y %H:%M}: nothing that erases its data is accepted.",
            hint=f"Lift the protection on the page of {thing} first.",
        )


def require_unprotected(testbed: Testbed, guests: Collection[str] | None = ()) -> None:
    """Raise Protected when the testbed is protected, or one of these guests.

    None stands for all guests.
    """
    for found in testbed.protections.select_related("set_by", "testbed"):
        if not found.guest or guests is None or found.guest in guests:
            raise found.refusal
