"""Runs of a command for any guests, and the answers that a worker would have kept."""

from collections.abc import Iterable
from dataclasses import asdict

from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.events import Stream
from orchestration.instructions.execution.answers import AnswerFile
from orchestration.plan.execution import Execution, Form
from testbed.models import Run, Task, Testbed

UNAME = Execution(form=Form.COMMAND, selection="@all", words=("uname",))


def execution(
    testbed: Testbed, user: User, guests: Iterable[str], wanted: Execution = UNAME
) -> Run:
    """Store a run of a command whose guests wait."""
    run = Run.objects.create(
        testbed=testbed,
        asked_by=user,
        command="exec",
        is_exclusive=False,
        title=wanted.title,
        options=asdict(wanted),
        plan={},
    )
    instruction = run.instructions.create(
        index=0, kind="run-program", stage="Execute", title="Execute"
    )
    Task.objects.bulk_create(
        Task(instruction=instruction, resource=name, host="main") for name in guests
    )
    run.refresh_from_db()
    return run


def answer(
    run: Run,
    guest: str,
    *lines: str,
    exit_code: int | None = 0,
    errors: Iterable[str] = (),
    message: str = "",
) -> None:
    """Keep a guest's answer; one without an exit code did not run."""
    file = AnswerFile(
        run.testbed.project.answers(run.pk) / guest, budget_bytes=1024 * 1024
    )
    for line in lines:
        file.add(Stream.STDOUT, line)
    for line in errors:
        file.add(Stream.STDERR, line)
    found = asdict(file.close(exit_code))
    status = Task.Status.DONE if exit_code == 0 else Task.Status.FAILED
    Task.objects.filter(instruction__run=run, resource=guest).update(
        status=status,
        seconds=0.5,
        message=message or ("" if exit_code == 0 else f"exit code {exit_code}"),
        answer=None if exit_code is None else found,
    )


def end(run: Run, status: str = "succeeded") -> None:
    """End a run."""
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(status=status, started_at=now, ended_at=now)
    run.refresh_from_db()
