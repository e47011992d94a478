"""Acts on snapshots that wait for their turn.

A testbed has one run on snapshots at a time. Acts that were chosen together wait here,
and each becomes a run when those before it are over.
"""

from django.conf import settings
from django.db import models

from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.models.runs import Run
from testbed.models.testbeds import Testbed

VERBS = [(verb.value, verb.value) for verb in SnapshotVerb]


class SnapshotOrder(models.Model):
    """An act on the snapshot `name` of some guests; `run` is what it became.

    `before` names a snapshot of the present state, taken before a restore. `leaves` has
    the status in which a restore leaves each guest, `taken` the times of the snapshots
    that were chosen, by guest: another one of the name is refused. `schedule` is the rhythm of the
    schedule that asked. `message` says why it was refused.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        STARTED = "started"
        REFUSED = "refused"

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="snapshot_orders"
    )
    verb = models.CharField("act", max_length=8, choices=VERBS)
    name = models.TextField("snapshot")
    guests = models.JSONField()
    before = models.CharField(max_length=63, blank=True)
    leaves = models.JSONField(default=dict)
    taken = models.JSONField(default=dict)
    schedule = models.CharField(max_length=8, blank=True)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    created_at = models.DateTimeField("asked at", auto_now_add=True)
    status = models.CharField(
        max_length=8, choices=Status.choices, default=Status.WAITING
    )
    message = models.TextField(blank=True)
    run = models.ForeignKey(
        Run, null=True, on_delete=models.SET_NULL, related_name="snapshot_orders"
    )

    class Meta:
        verbose_name = "requested act on snapshots"
        verbose_name_plural = "requested acts on snapshots"
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.verb} {self.name} of {self.testbed}"

    @property
    def wish(self) -> SnapshotWish:
        """The act, in the name of the user who asked for it."""
        by = self.asked_by.get_username()
        return SnapshotWish(
            SnapshotVerb(self.verb),
            self.name,
            by,
            before=self.before,
            schedule=self.schedule,
            taken=self.taken,
        )
