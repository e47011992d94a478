"""Each stage of a run has a line in its log when it begins, and one when it ends."""

import re

import pytest

from orchestration.plan.model import Command
from testbed.models import Event, Run
from testbed.runs.cancelling import request_cancel
from testbed.runs.dispatch import accept

pytestmark = pytest.mark.django_db(transaction=True)


def lines_of(run: Run, stage: str) -> list[str]:
    """Return a stage's lines, the seconds in them replaced."""
    logged = run.events.filter(kind=Event.Kind.LOG, text__startswith=f"{stage} ")
    texts = logged.values_list("text", flat=True)
    return [re.sub(r"\d+\.\d s", "N s", text) for text in texts]


def drive(run: Run, doors) -> None:
    """Send instructions as a client until one is refused."""
    for instruction in run.instructions.all():
        if not accept(run.pk, instruction.index, instruction.kind, "tab").valid:
            break
        doors.run_sent()


def test_stage_says_once_when_it_begins_and_ends(make_run, doors):
    run = make_run()

    drive(run, doors)

    assert lines_of(run, "Check hosts") == [
        "Check hosts begins: 2 tasks on 2 hosts.",
        "Check hosts ends after N s: 2 done.",
    ]


def test_instructions_of_one_stage_share_its_lines(make_run, doors):
    run = make_run()
    members = run.instructions.filter(stage="Network")
    assert members.count() > 1

    drive(run, doors)

    begin, end = lines_of(run, "Network")
    tasks = sum(member.tasks.count() for member in members)
    assert begin == f"Network begins: {tasks} tasks on 2 hosts."
    assert end == f"Network ends after N s: {tasks} done."


def test_stage_that_fails_counts_its_failures(make_run, doors):
    doors.engine.fails = {"db"}
    run = make_run()
    drive(run, doors)

    (stage,) = run.instructions.filter(status="failed").values_list("stage", flat=True)

    assert lines_of(run, stage)[1].endswith(", 1 failed.")


def test_teardown_that_keeps_going_ends_its_stage_once(make_run, doors):
    drive(make_run(), doors)
    doors.engine.fails = {"NAT"}
    run = make_run(Command.DOWN)

    drive(run, doors)

    begin, end = lines_of(run, "Remove network")
    assert begin.startswith("Remove network begins: ")
    assert end.endswith(", 1 failed.")


def test_cancelled_stage_ends(make_run, doors, owner):
    run = make_run()
    for instruction in run.instructions.all():
        accept(run.pk, instruction.index, instruction.kind, "tab")
        if instruction.kind == "check-hosts":
            break
        doors.run_sent()

    request_cancel(run.pk, owner)

    assert lines_of(run, "Check hosts")[1] == (
        "Check hosts ends after N s: 2 cancelled."
    )
