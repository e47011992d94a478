"""The message of a run that ended early is about this run, then about earlier ones."""

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.models import Run, Task, Testbed
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_snapshot
from testbed.runs.outcome import finish_run

pytestmark = pytest.mark.django_db(transaction=True)
PROOF = "No process that carries the mark of an unfinished task is left."


def cancelled(run: Run, owner) -> str:
    """Cancel a run and return its message."""
    request_cancel(run.pk, owner)
    run.refresh_from_db()
    return run.message


def begin_set_up(run: Run) -> None:
    run.instructions.filter(kind="set-up-guests").update(started_at=timezone.now())


def test_run_cancelled_before_its_set_up_counts_earlier_set_ups_apart(
    make_run, owner, testbed
):
    run = make_run()
    testbed.project.mark("web", reached="some spec")

    message = cancelled(run, owner)

    assert message == (
        "Cancelled by olive. The set-up of guests had not begun; earlier runs had set "
        f"up 1 of 2 guests. {PROOF}"
    )


def test_run_cancelled_amid_its_set_up_counts_its_own_guests_first(
    make_run, owner, testbed
):
    run = make_run()
    testbed.project.mark("web", reached="some spec")
    begin_set_up(run)
    tasks = Task.objects.filter(instruction__run=run, resource="db")
    tasks.filter(instruction__kind="set-up-guests").update(status=Task.Status.DONE)

    message = cancelled(run, owner)

    assert message == (
        "Cancelled by olive. 1 of 2 guests is set up; earlier runs had set up 1 more. "
        f"{PROOF}"
    )


def test_set_up_that_never_began_is_said_where_no_guest_is_set_up(make_run, owner):
    run = make_run()

    message = cancelled(run, owner)

    assert message == (
        f"Cancelled by olive. The set-up of guests had not begun. {PROOF}"
    )


def test_guest_that_failed_in_this_run_is_not_counted(make_run, testbed):
    run = make_run()
    testbed.project.mark("web", reached="some spec")
    testbed.project.mark("db", reached="some spec")
    begin_set_up(run)
    tasks = Task.objects.filter(instruction__run=run, resource="db")
    tasks.filter(instruction__kind="set-up-guests").update(
        status=Task.Status.FAILED, message="db does not answer."
    )

    finish_run(run.pk, Run.Status.FAILED)

    run.refresh_from_db()
    assert run.message == (
        "0 of 2 guests are set up; earlier runs had set up 1 more; db does not answer."
    )


def test_unreadable_state_counts_no_guest(make_run, owner, testbed):
    run = make_run()
    testbed.project.mark("web", reached="some spec")
    testbed.project.state_file.write_text("{")

    message = cancelled(run, owner)

    assert message == (
        f"Cancelled by olive. The set-up of guests had not begun. {PROOF}"
    )


@pytest.mark.parametrize(
    ("selection", "said"),
    [("web", "web: with memory."), ("@all", "db,web: done.")],
)
def test_snapshots_say_what_was_done_without_the_title_of_their_run(
    generated: Testbed, owner: User, selection: str, said: str
):
    generated.condition = Testbed.Condition.UP
    generated.save()
    wish = SnapshotWish(SnapshotVerb.CREATE, "base", "olive")
    run = create_snapshot(generated, owner, wish, selection)
    tasks = Task.objects.filter(instruction__run=run)
    tasks.update(status=Task.Status.DONE, message="with memory")

    finish_run(run.pk, Run.Status.SUCCEEDED)

    run.refresh_from_db()
    assert (run.title, run.message) == ("Take snapshot base", said)
