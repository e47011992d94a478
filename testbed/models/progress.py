"""The progress of a run: its wait, its instructions, their tasks and batches, and events."""

from django.db import models

from orchestration.plan.model import guest_of
from orchestration.state.model import State
from orchestration.state.versions import load_state
from testbed.models.runs import Run


class PlannedStartQuerySet(models.QuerySet["PlannedStart"]):
    """Selects the states of Ups in the queue."""

    def queued(self) -> dict[int, int]:
        """Return the run in the queue of each testbed that has one, by their keys."""
        waiting = self.filter(run__status=Run.Status.WAITING)
        return dict(waiting.values_list("run__testbed", "run"))

    def states_of(self, run: int) -> tuple[State, ...]:
        """Return the state that a run will write; none when it did. Raises: StateError."""
        found = self.filter(run=run).exclude(state="").values_list("state", flat=True)
        return tuple(load_state(state.encode()) for state in found)


class PlannedStart(models.Model):
    """The state that a run of Up writes when it begins, and its needs until its end.

    `state` is the JSON of the wanted state, empty once it was written. `is_change` says
    that parts of another state may be on the hosts, which are recorded then. `needs` are
    those of all guests that run afterwards, as in `Testbed.started`.
    """

    run = models.OneToOneField(
        Run, primary_key=True, on_delete=models.CASCADE, related_name="planned_start"
    )
    state = models.TextField(blank=True)
    is_change = models.BooleanField()
    needs = models.JSONField()

    objects = PlannedStartQuerySet.as_manager()

    def __str__(self) -> str:
        return f"start of {self.run}"


class Instruction(models.Model):
    """One instruction of a run with its result. Users see it as part of its stage."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="instructions")
    index = models.PositiveIntegerField()
    kind = models.CharField(max_length=32)
    stage = models.CharField(max_length=32)
    title = models.CharField(max_length=200)
    status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.WAITING
    )
    message = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("index",)
        constraints = (
            models.UniqueConstraint(
                fields=["run", "index"], name="one_instruction_per_index"
            ),
        )

    def __str__(self) -> str:
        return f"{self.index} {self.title}"


class Task(models.Model):
    """One resource's work inside an instruction, as a card of the run page.

    Created with the run as `waiting`; kept up to date by the recorder. `answer` is
    `orchestration.events.Answer` of a user's program, `found` its `Check` of a guest.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        UNCHANGED = "unchanged"
        WARNING = "warning"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SKIPPED = "skipped"

    instruction = models.ForeignKey(
        Instruction, on_delete=models.CASCADE, related_name="tasks"
    )
    resource = models.CharField(max_length=120)
    host = models.CharField(max_length=40)
    status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.WAITING
    )
    message = models.TextField(blank=True)
    hint = models.TextField(blank=True)
    detail = models.TextField(blank=True)
    seconds = models.FloatField(default=0.0)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(default=0)
    unit = models.CharField(max_length=12, blank=True)
    note = models.CharField(max_length=200, blank=True)
    rate = models.BigIntegerField(default=0)
    left_s = models.PositiveIntegerField(null=True, blank=True)
    answer = models.JSONField(null=True, blank=True)
    found = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=["instruction", "resource", "host"], name="one_task_per_resource"
            ),
        )

    def __str__(self) -> str:
        return f"{self.resource} on {self.host}: {self.status}"

    @property
    def guest(self) -> str:
        """The guest that it works on; empty when its resource is something else."""
        return guest_of(self.instruction.kind, self.resource)


class Batch(models.Model):
    """One Celery task: the work of an instruction on one host.

    It goes to the workers when it is admitted. A worker owns a running batch while its
    lease is fresh.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        FINISHED = "finished"
        LOST = "lost"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    instruction = models.ForeignKey(
        Instruction, on_delete=models.CASCADE, related_name="batches"
    )
    host = models.CharField(max_length=40)
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.QUEUED
    )
    celery_id = models.UUIDField()
    worker = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    queued_at = models.DateTimeField(auto_now_add=True)
    admitted_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["instruction", "host"], name="one_batch_per_host"
            ),
        )

    def __str__(self) -> str:
        return f"{self.instruction} on {self.host}: {self.status}"


class Event(models.Model):
    """A numbered fact about a run; `seq` has no gaps and is in commit order.

    `text` is a log line; everything else is in `data`.
    """

    class Kind(models.TextChoices):
        LOG = "log"
        TASK_STARTED = "task-started"
        TASK_PROGRESSED = "task-progressed"
        TASK_FINISHED = "task-finished"
        INSTRUCTION_STARTED = "instruction-started"
        WAITING = "waiting"
        RESULT = "result"
        CANCEL_REQUESTED = "cancel-requested"
        LEFTOVERS = "leftovers"
        RUN = "run"

    OF_TASKS = (Kind.TASK_STARTED, Kind.TASK_PROGRESSED, Kind.TASK_FINISHED)

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    index = models.IntegerField(default=-1)
    resource = models.CharField(max_length=120, blank=True)
    host = models.CharField(max_length=40, blank=True)
    stream = models.CharField(max_length=8, blank=True)
    text = models.TextField(blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ("seq",)
        constraints = (
            models.UniqueConstraint(fields=["run", "seq"], name="one_event_per_seq"),
        )

    def __str__(self) -> str:
        return f"{self.seq} {self.kind}"

    @property
    def is_of_task(self) -> bool:
        """Return whether the event describes one task; the newest replaces the rest."""
        return self.kind in self.OF_TASKS
