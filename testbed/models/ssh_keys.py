"""Public SSH keys of users, with which they log in to guests from their machines.

That a guest has its keys is a marker in its testbed's folder; here is why one has not,
and which testbeds a host's jump account may still lead to.
"""

from django.conf import settings
from django.db import models

from orchestration.project.public_keys import KINDS
from testbed.models.hosts import Host
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


class JumpReachQuerySet(models.QuerySet["JumpReach"]):
    """Selects what the jump accounts of all hosts lead to."""

    def all_numbers(self) -> set[int]:
        """Return the numbers of testbeds whose guests a connection may reach."""
        rows = self.values_list("numbers", flat=True)
        return {int(number) for numbers in rows for number in numbers}


class JumpReach(models.Model):
    """The testbeds that open connections through a host's jump account may reach.

    `numbers` has the testbeds' numbers, each with None while a key leads there, else
    the tick of the host's clock from which on none does. `boot` is the boot of that
    clock, `pools` the addresses from which the testbeds have theirs. Where either is
    empty, it is not known what connections reach.
    """

    # An open connection lasts for so long, at most.
    SESSION_S = 24 * 3600.0
    # With a slow login and the time between two visits of a host.
    REST_H = 25

    host = models.OneToOneField(
        Host, on_delete=models.CASCADE, primary_key=True, related_name="jump_reach"
    )
    pools = models.CharField(max_length=40, blank=True)
    boot = models.CharField(max_length=40, blank=True)
    numbers = models.JSONField(default=dict)

    objects = JumpReachQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.host_id}: {len(self.numbers)}"
