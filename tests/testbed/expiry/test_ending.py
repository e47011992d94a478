"""The runs of an end: a snapshot, then Down; repeated, bounded, and never two."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from orchestration.errors import NotEnoughSpace
from orchestration.plan.execution import Execution, Form
from orchestration.plan.model import Command
from testbed.expiry import ending
from testbed.expiry.changes import choose, extend
from testbed.expiry.ending import end
from testbed.models import Entry, Expiry, Run, Testbed
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_execution, create_run
from testbed.runs.outcome import finish_run
from testbed.testbeds.erasure.protection import lift, protect
from tests.testbed.expiry.conftest import HOUR, NOW, end_of

MINUTE = timedelta(minutes=1)


@pytest.fixture
def stopping(lab: Testbed, owner: User, due: Expiry) -> Testbed:
    choose(lab, owner, "stop", NOW)
    return lab


def failed(lab: Testbed, at: datetime) -> Run:
    """Begin an attempt that fails."""
    run = end(lab, at)
    finish_run(run.pk, Run.Status.FAILED)
    assert end(lab, at) is None  # it is noted
    return run


def test_snapshot_is_followed_by_down(lab: Testbed, owner: User, due: Expiry):
    first = end(lab, NOW)
    assert (first.command, first.plan["snapshot"]["is_group"]) == ("snapshot", True)
    assert first.plan["snapshot"]["name"] == "end-20261128-120000"
    finish_run(first.pk, Run.Status.SUCCEEDED)

    second = end(lab, NOW)
    assert second.command == Command.DOWN
    finish_run(second.pk, Run.Status.SUCCEEDED)

    lab.refresh_from_db()
    assert lab.condition == Testbed.Condition.DOWN
    assert end_of(lab).expires_at is None
    assert end(lab, NOW + HOUR) is None
    assert Run.objects.count() == 2


def test_runs_are_the_systems(stopping: Testbed):
    run = end(stopping, NOW)

    run.refresh_from_db()
    assert run.asker == "the system"
    assert run.asked_of == ""
    entry = Entry.objects.get(run_number=run.pk)
    assert (entry.user, entry.what, entry.outcome) == (
        "",
        "Down, at its end",
        "started",
    )


def test_run_of_an_end_begins_without_waiting_for_a_client(stopping: Testbed):
    run = end(stopping, NOW)

    run.refresh_from_db()
    assert (run.driver, run.next_index) == (Run.Driver.SERVER, 1)


def test_sweeps_one_after_the_other_make_one_run(stopping: Testbed):
    run = end(stopping, NOW)

    assert end(stopping, NOW) is None
    assert end(stopping, NOW + HOUR) is None
    assert list(Run.objects.all()) == [run]


@pytest.mark.django_db(transaction=True)
def test_sweepers_at_once_make_one_run(stopping: Testbed):
    def sweep(_: int) -> Run | None:
        try:
            return end(stopping, NOW)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(sweep, range(4)))

    assert [run for run in found if run] == [Run.objects.get()]
    assert end_of(stopping).tries == 0


@pytest.mark.django_db(transaction=True)
def test_browsers_that_extend_at_once_all_succeed(lab: Testbed, owner: User):
    def press(_: int) -> bool:
        try:
            extend(lab, owner, NOW + 100 * HOUR, NOW)
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(press, range(4)))

    assert end_of(lab).expires_at == NOW + 100 * HOUR


def test_sweeper_that_dies_before_the_row_is_changed_makes_no_run(
    stopping: Testbed, monkeypatch: pytest.MonkeyPatch
):
    def die(*values: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ending, "write_on_testbed", die)
        with pytest.raises(KeyboardInterrupt):
            end(stopping, NOW)

    assert not Run.objects.exists()
    assert end_of(stopping).run is None
    assert end(stopping, NOW) == Run.objects.get()


def test_end_waits_for_the_run_that_is_on(stopping: Testbed, owner: User):
    other = create_run(stopping, owner, Command.UP)

    assert end(stopping, NOW) is None
    assert end_of(stopping).said.startswith("It waits: olive has been running up")
    assert end_of(stopping).tries == 0
    finish_run(other.pk, Run.Status.SUCCEEDED)

    assert end(stopping, NOW + MINUTE).command == Command.DOWN


def test_tools_end_with_the_testbed(lab: Testbed, owner: User, due: Expiry):
    command = Execution(Form.COMMAND, "@all", words=("top",), tool=True)
    tool = create_execution(lab, owner, command)

    end(lab, NOW)

    tool.refresh_from_db()
    assert (tool.status, tool.cancel_requested_by) == ("cancelled", None)
    assert Run.objects.get(command=Command.SNAPSHOT).is_over is False


def test_failed_down_is_repeated_later_and_later_and_then_given_up(stopping: Testbed):
    at = NOW
    for wait in (5, 10, 20, 40):
        failed(stopping, at)
        assert f"is tried again after {wait} min" in end_of(stopping).said
        assert end(stopping, at + (wait - 1) * MINUTE) is None
        at += wait * MINUTE
    failed(stopping, at)

    said = end_of(stopping).said
    assert said.startswith("Down failed, attempt 5 of 5: run ")
    assert said.endswith("It is not tried again: use Down, or extend it.")
    assert end(stopping, at + 1000 * HOUR) is None
    assert Run.objects.count() == 5


def test_cancelled_end_is_repeated(stopping: Testbed, owner: User):
    run = end(stopping, NOW)
    request_cancel(run.pk, owner)

    assert end(stopping, NOW) is None
    assert "attempt 1 of 5" in end_of(stopping).said
    assert "Cancelled by olive" in end_of(stopping).said
    assert end(stopping, NOW + 5 * MINUTE) is not None


def test_clock_that_jumps_back_between_attempts_delays_none(stopping: Testbed):
    failed(stopping, NOW + HOUR)

    assert end(stopping, NOW) is not None


def test_testbed_is_stopped_without_a_snapshot_where_none_can_be_taken(
    lab: Testbed, due: Expiry
):
    for minutes in (0, 5):
        run = failed(lab, NOW + minutes * MINUTE)
        assert run.command == Command.SNAPSHOT
        assert "After attempt 3 it is stopped without" in end_of(lab).said
    run = end(lab, NOW + 15 * MINUTE)
    finish_run(run.pk, Run.Status.FAILED)

    last = end(lab, NOW + 15 * MINUTE)

    assert last.command == Command.DOWN
    assert "stopped without a snapshot; its disks stay" in end_of(lab).said


def test_protected_testbed_stays_up_where_no_snapshot_can_be_taken(
    lab: Testbed, owner: User, due: Expiry
):
    protect(lab, owner, "web")
    for minutes in (0, 5, 15):
        failed(lab, NOW + minutes * MINUTE)

    assert end(lab, NOW + 100 * HOUR) is None
    assert "It is protected, and stays up" in end_of(lab).said
    assert not Run.objects.filter(command=Command.DOWN).exists()
    lift(lab, "web")
    assert end(lab, NOW + 100 * HOUR).command == Command.DOWN


def test_refused_snapshot_counts_as_a_failed_one(
    lab: Testbed, due: Expiry, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*values: object, **options: object) -> None:
        raise NotEnoughSpace("There is no room.", hint="Make room.")

    monkeypatch.setattr(ending, "create_snapshot", refuse)

    assert end(lab, NOW) is None
    assert "attempt 1 of 3: There is no room. Make room." in end_of(lab).said


def test_unexpected_error_is_counted_and_stops_no_other_end(
    lab: Testbed, due: Expiry, monkeypatch: pytest.MonkeyPatch
):
    def break_down(*values: object, **options: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(ending, "create_snapshot", break_down)

    assert end(lab, NOW) is None
    assert "an unexpected error happened" in end_of(lab).said
    assert "secret" not in end_of(lab).said


def test_extension_during_the_snapshot_keeps_the_testbed_up(
    lab: Testbed, owner: User, due: Expiry
):
    run = end(lab, NOW)
    extend(lab, owner, NOW + 48 * HOUR, NOW)
    finish_run(run.pk, Run.Status.SUCCEEDED)

    assert end(lab, NOW + HOUR) is None
    assert end_of(lab).is_stored is False


def test_choice_of_stop_after_failed_snapshots_stops(
    lab: Testbed, owner: User, due: Expiry
):
    protect(lab, owner)
    for minutes in (0, 5, 15):
        failed(lab, NOW + minutes * MINUTE)
    choose(lab, owner, "stop", NOW + HOUR)

    assert end(lab, NOW + HOUR).command == Command.DOWN


def test_deleted_testbed_does_not_end(lab: Testbed, due: Expiry):
    copy = Testbed.objects.get(pk=lab.pk)
    lab.delete()

    assert end(copy, NOW) is None
