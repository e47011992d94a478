"""Public SSH keys of users, with which they log in to guests from their machines.

That a guest has its keys is a marker in its testbed's folder; here is why one has not.
"""

from django.conf import settings
from django.db import models

from orchestration.project.public_keys import KINDS
from testbed.models.testbeds import Testbed


class UserKey(models.Model):
    """One public key: `kind` is SSH's word for its type, `blob` the key in base64."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="ssh_keys"
    )
    name = models.CharField(max_length=60)
    kind = models.CharField(max_length=40)
    blob = models.TextField()
    bits = models.PositiveIntegerField()
    comment = models.CharField(max_length=200, blank=True)
    fingerprint = models.CharField(max_length=60)
    added_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("added_at", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["user", "fingerprint"], name="one_key_per_user"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        """Its type and length in words."""
        return f"{KINDS.get(self.kind, self.kind)}, {self.bits} bits"


class KeyProblem(models.Model):
    """Why a guest that runs does not have its users' keys, as last tried."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="key_problems"
    )
    guest = models.CharField(max_length=64)
    problem = models.TextField()
    tried_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "guest"], name="one_key_problem_per_guest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.guest}: {self.problem}"
