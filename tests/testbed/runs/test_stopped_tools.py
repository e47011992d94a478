"""A tool that its user stopped was stopped: its end says what it left, and is no failure."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.plan.captures import Capture
from orchestration.plan.execution import Conditions, Execution, Form
from testbed.models import Run, Task, Testbed
from testbed.runs.cancelling import request_cancel
from testbed.runs.kept import capture_file
from testbed.runs.outcome import NONE_LEFT, finish_run
from tests.testbed.answer_rows import answer, execution
from tests.testbed.reading import visible

pytestmark = pytest.mark.django_db(transaction=True)
TOOL = Execution(
    Form.SHELL, "@all", ("vmstat 1",), tool=True, conditions=Conditions(timeout_s=0)
)
CAPTURE = Execution(Form.CAPTURE, "web", tool=True, capture=Capture("web"))
LEFT = {
    "host": "main",
    "machine": "main",
    "tag": "lab.r1.",
    "pid": 7,
    "name": "tcpdump",
}


def begun(run: Run) -> Run:
    Run.objects.filter(pk=run.pk).update(
        started_at=timezone.now(), status=Run.Status.RUNNING
    )
    return run


@pytest.fixture
def tool(generated: Testbed, owner: User, doors: object) -> Run:
    """A tool that printed three lines in each of two guests."""
    run = begun(execution(generated, owner, ("web", "db"), TOOL))
    for guest in ("web", "db"):
        answer(run, guest, "one", "two", "three")
        stop(run, guest)
    return run


@pytest.fixture
def capture(generated: Testbed, owner: User, doors: object) -> Run:
    """A capture that kept two packets."""
    run = begun(execution(generated, owner, ("web",), CAPTURE))
    Task.objects.filter(instruction__run=run).update(done=2, unit="packets")
    capture_file(run).parent.mkdir(parents=True)
    capture_file(run).write_bytes(bytes(176))
    return run


def stop(run: Run, guest: str) -> None:
    Task.objects.filter(instruction__run=run, resource=guest).update(
        status=Task.Status.CANCELLED, message="Stopped."
    )


def stopped(run: Run, user: User, leftovers: list[dict[str, object]]) -> Run:
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.CANCELLING, cancel_requested_by=user
    )
    finish_run(run.pk, Run.Status.CANCELLED, leftovers=leftovers)
    run.refresh_from_db()
    return run


def test_stopped_tool_says_what_it_printed(tool: Run, owner: User):
    run = stopped(tool, owner, [])

    assert run.message == (
        f"Stopped by olive. 6 lines of output, 28 B: see Answers. {NONE_LEFT}"
    )


def test_stopped_capture_says_what_it_kept(capture: Run, owner: User):
    run = stopped(capture, owner, [])

    assert run.message == (
        f"Stopped by olive. 2 packets, 176 B: see Packets. {NONE_LEFT}"
    )


def test_stopped_tool_says_where_it_had_failed(tool: Run, owner: User):
    failed = Task.objects.filter(instruction__run=tool, resource="db")
    failed.update(status=Task.Status.FAILED)

    run = stopped(tool, owner, [])

    assert run.message.startswith("Stopped by olive. It had failed on db. 6 lines")


def test_process_that_was_not_proven_to_have_ended_is_still_named(
    capture: Run, owner: User
):
    run = stopped(capture, owner, [LEFT])

    assert run.message.endswith("see Packets. Not confirmed as ended: 1 process.")
    assert NONE_LEFT not in run.message
    assert "listed below" in run.hint


def test_tool_that_never_began_has_left_nothing(
    generated: Testbed, owner: User, doors: object
):
    run = execution(generated, owner, ("web",), TOOL)

    request_cancel(run.pk, owner)

    run.refresh_from_db()
    assert run.message == f"Stopped by olive before it began. {NONE_LEFT}"


def test_pages_call_a_stopped_tool_stopped(tool: Run, owner: User, client: Client):
    client.force_login(owner)
    stopped(tool, owner, [])

    page = visible(client.get(f"/runs/{tool.pk}/").content.decode())
    listed = visible(client.get("/testbeds/olive/lab/runs/").content.decode())

    assert "Stopped by olive." in page
    assert "stopped" in listed
    for text in (page, listed):
        assert "ancelled" not in text
        assert "failed" not in text


def test_stopped_command_was_cancelled_as_before(
    generated: Testbed, owner: User, doors: object
):
    run = begun(execution(generated, owner, ("web",)))
    stop(run, "web")

    found = stopped(run, owner, [])

    assert found.message == (
        "Cancelled by olive. Succeeded on 0 of 1 guest; cancelled on web. " + NONE_LEFT
    )
