"""Runs: one execution of a plan each, and the users who may see them."""

from functools import cached_property, reduce
from operator import or_

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.db.models import F, Q
from django.db.models.fields.json import KT
from django.db.models.functions import Left
from django.utils import timezone

from orchestration.errors import TestbedBusy
from orchestration.plan.execution import Form, Targets
from orchestration.plan.model import Command
from testbed.models.testbeds import Testbed

LISTED_CHARACTERS = 200
SYSTEM = "the system"
COMMAND_NAMES: dict[str, str] = {
    Command.GENERATE_ARTEFACTS: "Generate artefacts",
    Command.CLEAR_ARTEFACTS: "Delete disks and artefacts",
    Command.UP: "Up",
    Command.DOWN: "Down",
    Command.EXEC: "Command",
    Command.POWER: "Power",
    Command.CHECK: "Check",
    Command.UP_GUESTS: "Up of guests",
    Command.SNAPSHOT: "Snapshot",
    Command.SAVE_IMAGE: "Save as image",
}
# Their titles say what they do to chosen guests.
ON_GUESTS = (
    Command.POWER,
    Command.UP_GUESTS,
    Command.SNAPSHOT,
    Command.SAVE_IMAGE,
)
# They leave what should be on the hosts as it was.
UNDECIDING = (Command.GENERATE_ARTEFACTS, *ON_GUESTS)
FORM_NAMES = {
    Form.PUSH: "Push",
    Form.FETCH: "Fetch",
    Form.CAPTURE: "Packet capture",
    Form.SERIAL_LOG: "Serial log",
}


class RunQuerySet(models.QuerySet["Run"]):
    """Selects the runs that a user may see, and the active ones."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "RunQuerySet":
        """Return the runs of the testbeds that the user may see.

        Commands on hosts, with what the hosts answered, are for lab admins.
        """
        found = self.filter(testbed__in=Testbed.objects.all().visible_to(user))
        if isinstance(user, User) and user.is_superuser:
            return found
        return found.in_guests()

    def in_guests(self) -> "RunQuerySet":
        """Leave out the commands on hosts."""
        # Without the key, its comparison is neither true nor false.
        no_targets = Q(options__targets__isnull=True)
        return self.filter(no_targets | ~Q(options__targets=Targets.HOSTS.value))

    def listed(self) -> "RunQuerySet":
        """Return what a list shows: plans and pasted scripts are not read."""
        rows = self.select_related("asked_by").defer("plan", "options")
        return rows.annotate(
            # The names of hundreds of ticked guests are kilobytes.
            where=Left(KT("options__selection"), LISTED_CHARACTERS),
            listed_targets=F("options__targets"),
            listed_form=F("options__form"),
            listed_tool=F("options__tool"),
        )

    def with_text(self, text: str) -> "RunQuerySet":
        """Return the runs with a text in the command, its guests, its user or its end."""
        places = ("title", "message", "asked_by__username", "options__selection")
        return self.filter(
            reduce(or_, (Q(**{f"{place}__icontains": text}) for place in places))
        )

    def active(self) -> "RunQuerySet":
        """Return the runs that are not over."""
        return self.filter(status__in=Run.ACTIVE)

    def waiting(self) -> "RunQuerySet":
        """Return the runs that wait in the queue."""
        return self.filter(status=Run.Status.WAITING)

    def begun(self) -> "RunQuerySet":
        """Leave out the runs that wait in the queue, or ended there: they do nothing."""
        return self.filter(has_begun=True)

    def tools(self) -> "RunQuerySet":
        """Return the active runs that go on until they are stopped."""
        return self.active().filter(options__tool=True)

    def changing(self) -> "RunQuerySet":
        """Return the active runs that change their testbed."""
        return self.active().filter(is_exclusive=True)

    def deciding(self) -> "RunQuerySet":
        """Return the runs that decide what should be on the hosts, such as `up`."""
        return self.begun().filter(is_exclusive=True).exclude(command__in=UNDECIDING)


class Run(models.Model):
    """One execution of a plan, requested by one user.

    `plan` is `orchestration.plan.model.Plan` as JSON. `next_index` is the instruction
    that may be sent next. `driver` is the sender of instructions; a client counts as
    connected while `driver_seen_at` is fresh. `last_seq` numbers the events.
    `leftovers` lists the processes that a cancel could not confirm as ended, by host
    and pid. `title` is what an execution runs, on one line. `log_bytes` is about what
    its events and its plan take, and `log_is_cut` says that output was left out for
    their limit. Old runs lose both, at `log_removed_at`, for the reason
    `log_removed_for` if it is not their age; results stay.
    An exclusive run changes the testbed, and no other run is active meanwhile; while it
    is `waiting` in the queue, commands in guests are. One that ends there never begins.
    When another than the owner asked for it, `asked_as` is that user's role then, and
    `asked_of` the owner's name. With `SYSTEM` as the role, no user asked: it belongs to
    the end of the testbed, and is in its owner's name.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        PENDING = "pending"
        RUNNING = "running"
        CANCELLING = "cancelling"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        INTERRUPTED = "interrupted"

    class Driver(models.TextChoices):
        NOBODY = "nobody"
        CLIENT = "client"
        SERVER = "server"

    ACTIVE = (Status.WAITING, Status.PENDING, Status.RUNNING, Status.CANCELLING)

    testbed = models.ForeignKey(Testbed, on_delete=models.CASCADE, related_name="runs")
    command = models.CharField(max_length=32)
    title = models.CharField(max_length=120, blank=True)
    is_exclusive = models.BooleanField(default=True)
    has_begun = models.BooleanField(default=True)
    options = models.JSONField(default=dict)
    plan = models.JSONField()
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    asked_as = models.CharField(max_length=20, blank=True)
    asked_of = models.CharField(max_length=150, blank=True)
    status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.PENDING
    )
    message = models.TextField(blank=True)
    hint = models.TextField(blank=True)
    driver = models.CharField(
        max_length=8, choices=Driver.choices, default=Driver.NOBODY
    )
    driver_channel = models.CharField(max_length=120, blank=True)
    driver_seen_at = models.DateTimeField(null=True, blank=True)
    next_index = models.PositiveIntegerField(default=0)
    last_seq = models.PositiveBigIntegerField(default=0)
    log_bytes = models.PositiveBigIntegerField(default=0)
    log_is_cut = models.BooleanField(default=False)
    leftovers = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    log_removed_at = models.DateTimeField(null=True, blank=True)
    log_removed_for = models.CharField(max_length=300, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        # Few of many runs are going on, and each poll of each list counts them.
        indexes = (models.Index(fields=["status"], name="runs_by_status"),)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed"],
                condition=Q(
                    status__in=["waiting", "pending", "running", "cancelling"],
                    is_exclusive=True,
                ),
                name="one_exclusive_run_per_testbed",
            ),
        )

    def __str__(self) -> str:
        return f"{self.testbed} {self.command} #{self.pk}"

    @property
    def asker(self) -> str:
        """The user who asked for it, with the role in which on another's testbed."""
        if self.asked_as == SYSTEM:
            return SYSTEM
        role = f" ({self.asked_as})" if self.asked_as else ""
        return f"{self.asked_by}{role}"

    @property
    def is_over(self) -> bool:
        """Return whether the run has ended."""
        return self.status not in self.ACTIVE

    @property
    def is_on_hosts(self) -> bool:
        """Return whether it runs a command on hosts themselves."""
        return self._option("targets") == Targets.HOSTS

    @property
    def is_deciding(self) -> bool:
        """Return whether it decides what should be on the hosts; as `deciding`."""
        return self.has_begun and self.is_exclusive and self.command not in UNDECIDING

    @property
    def is_tool(self) -> bool:
        """Return whether it goes on until it is stopped, beside other executions."""
        return self._option("tool") is True

    @property
    def form(self) -> Form | None:
        """The kind of an execution; None for another command."""
        found = self._option("form")
        return Form(str(found)) if found else None

    @property
    def is_capture(self) -> bool:
        """Return whether it captures packets."""
        return self.form is Form.CAPTURE

    @property
    def has_mirror(self) -> bool:
        """Return whether it captures a whole bridge, by a mirror port."""
        return bool((self.options.get("capture") or {}).get("bridge"))

    @property
    def shown_status(self) -> str:
        """The status in words: a tool has no other end than a stop."""
        words = {"cancelled": "stopped", "cancelling": "stopping"}
        return words.get(self.status, self.status) if self.is_tool else self.status

    @property
    def name(self) -> str:
        """The word for what it does, as a title."""
        if self.form in FORM_NAMES:
            return FORM_NAMES[self.form]
        return "Tool" if self.is_tool else COMMAND_NAMES.get(self.command, self.command)

    @property
    def verb(self) -> str:
        """The word for it in sentences about its end."""
        return self.title if self.command in ON_GUESTS else self.name

    @property
    def target_noun(self) -> str:
        """The word for what an execution acts on."""
        if self.has_mirror:
            return "bridge"
        return Targets.HOSTS.noun if self.is_on_hosts else Targets.GUESTS.noun

    @cached_property
    def kinds(self) -> dict[int, str]:
        """The kinds of its instructions by their index; they never change."""
        return dict(self.instructions.values_list("index", "kind"))

    def named(self, resource: str) -> str:
        """Return a resource of its events under the name that people know.

        A whole testbed is there by its key, which is for hosts; lines of no resource
        are the testbed's, too.
        """
        is_whole = resource in ("", self.testbed.key)
        return self.testbed.name if is_whole else resource

    @property
    def tag(self) -> str:
        """The first part of TESTBED_TAG in every process of this run."""
        return f"{self.testbed.slug}.r{self.pk}."

    def _option(self, name: str) -> object:
        """Return an option; `listed` has read it where the others are not."""
        listed = f"listed_{name}"
        return (
            getattr(self, listed) if hasattr(self, listed) else self.options.get(name)
        )


def require_no_run(runs: RunQuerySet) -> None:
    """Raise TestbedBusy, with the user and the start, when one of the runs is active."""
    if run := runs.active().select_related("asked_by", "testbed").first():
        since = timezone.localtime(run.created_at)
        is_execution = run.command == Command.EXEC
        what = f"a {run.name.lower()}" if is_execution else run.command
        if run.status == Run.Status.WAITING:
            raise TestbedBusy(
                f"The {what} of {run.asker} on testbed {run.testbed.name} has been "
                f"waiting in the queue since {since:%H:%M:%S} as run {run.pk}.",
                hint="Wait until it is over, or cancel it.",
            )
        raise TestbedBusy(
            f"{run.asker} has been running {what} on testbed {run.testbed.name} "
            f"since {since:%H:%M:%S} as run {run.pk}.",
            hint="Wait until it is over, or cancel it.",
        )
