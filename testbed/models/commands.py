"""Commands that were saved under a name, for one testbed or for all."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from testbed.models.testbeds import Testbed


class SavedCommand(models.Model):
    """A command to run again by its name; without a testbed it is shared by all.

    `execution` is `orchestration.plan.execution.Execution` as JSON, with parameters.
    """

    testbed = models.ForeignKey(
        Testbed, null=True, on_delete=models.CASCADE, related_name="saved_commands"
    )
    name = models.CharField(max_length=60)
    execution = models.JSONField()
    saved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    saved_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ("name", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "name"], name="one_saved_command_per_name"
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(testbed=None),
                name="one_shared_command_per_name",
            ),
        )

    def __str__(self) -> str:
        return self.name
