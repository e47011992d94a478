"""Executions are planned on deployed guests, beside each other and beside no change."""

import pytest

from orchestration.errors import SelectionFailed, StateError, TestbedBusy
from orchestration.events import Answer, Status, TaskFinished
from orchestration.plan.execution import parse_execution
from orchestration.plan.model import Command
from testbed.models import Batch, Instruction, Run, Task, Testbed
from testbed.runs import outcome
from testbed.runs.creation import create_execution, create_run
from testbed.runs.joining import join
from testbed.runs.outcome import NONE_LEFT, finish_run
from testbed.runs.recorder import Recorder
from testbed.testbeds.executions import matched

pytestmark = pytest.mark.django_db(transaction=True)
UNAME = parse_execution({"form": "command", "selection": "@all", "words": ["uname"]})


@pytest.fixture
def deployed(generated):
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def execution(deployed, owner, doors):
    return create_execution(deployed, owner, UNAME)


def end(run, status, **statuses):
    """End a run whose tasks ended with the statuses given."""
    for name, found in statuses.items():
        Task.objects.filter(instruction__run=run, resource=name).update(status=found)
    finish_run(run.pk, status)


def test_hosts_are_observed_after_a_change_and_not_after_a_command(
    execution, make_run, owner, monkeypatch
):
    observed = []
    monkeypatch.setattr(outcome, "request_observation", lambda: observed.append(1))

    end(execution, Run.Status.SUCCEEDED)
    after_command = len(observed)
    end(make_run(), Run.Status.SUCCEEDED)

    assert (after_command, len(observed)) == (0, 1)


def test_execution_is_stored_with_what_runs_where(execution):
    tasks = Task.objects.filter(instruction__run=execution)

    execution.refresh_from_db()
    assert execution.command == "exec"
    assert execution.options["words"] == ["uname"]
    assert set(tasks.values_list("resource", "host")) == {
        ("web", "main"),
        ("db", "host-b"),
    }


def test_list_reads_with_a_run_whether_it_is_on_hosts(
    execution, django_assert_num_queries
):
    run = Run.objects.listed().get(pk=execution.pk)

    with django_assert_num_queries(0):
        assert not run.is_on_hosts


def test_two_users_execute_at_once(execution, deployed, member):
    second = create_execution(deployed, member, UNAME)

    assert Run.objects.active().count() == 2
    assert second.pk != execution.pk


def test_change_waits_for_an_execution_and_says_for_whom(execution, deployed, member):
    with pytest.raises(TestbedBusy) as busy:
        create_run(deployed, member, Command.DOWN)

    assert (
        "olive has been running a command on testbed lab since " in busy.value.message
    )
    assert busy.value.message.endswith(f" as run {execution.pk}.")
    assert Run.objects.count() == 1


def test_execution_waits_for_a_change_and_says_for_whom(deployed, owner, member, doors):
    create_run(deployed, owner, Command.DOWN)

    with pytest.raises(TestbedBusy) as busy:
        create_execution(deployed, member, UNAME)

    assert "olive has been running down on testbed lab since " in busy.value.message


def test_testbed_that_is_not_up_runs_nothing(generated, owner):
    with pytest.raises(StateError, match="Testbed olive/lab is not up"):
        create_execution(generated, owner, UNAME)

    assert not Run.objects.exists()


def test_selection_that_matches_nothing_makes_no_run(deployed, owner):
    wanted = parse_execution({"form": "command", "selection": "x-*", "words": ["id"]})

    with pytest.raises(SelectionFailed):
        create_execution(deployed, owner, wanted)

    assert not Run.objects.exists()


def test_failed_are_the_guests_on_which_the_last_run_failed(execution, deployed):
    end(execution, Run.Status.FAILED, web="done", db="failed")

    assert matched(deployed, "@failed") == ("db",)


@pytest.mark.parametrize(
    ("status", "statuses", "message"),
    [
        ("succeeded", {"web": "done", "db": "done"}, "Succeeded on all 2 guests."),
        (
            "failed",
            {"web": "done", "db": "failed"},
            "Succeeded on 1 of 2 guests; failed on db.",
        ),
        (
            "cancelled",
            {"web": "done", "db": "cancelled"},
            f"Cancelled. Succeeded on 1 of 2 guests; cancelled on db. {NONE_LEFT}",
        ),
    ],
)
def test_end_says_on_which_guests_it_did_not_succeed(
    execution, status, statuses, message
):
    end(execution, Run.Status(status), **statuses)

    execution.refresh_from_db()
    assert (execution.status, execution.message) == (status, message)


def test_execution_leaves_the_testbeds_condition(execution, deployed):
    end(execution, Run.Status.FAILED, web="failed", db="failed")

    deployed.refresh_from_db()
    assert deployed.condition == Testbed.Condition.UP


def test_answer_is_kept_with_its_task(execution):
    recorder = Recorder(execution.pk)
    answer = Answer(3, 2, 10, "d" * 64)

    recorder.sink(
        TaskFinished(0, "web", "main", Status.FAILED, "exit code 3", answer=answer)
    )
    recorder.close()

    task = Task.objects.get(instruction__run=execution, resource="web")
    assert task.answer == {
        "exit_code": 3,
        "lines": 2,
        "size_bytes": 10,
        "digest": "d" * 64,
        "is_cut": False,
        "by_agent": False,
    }


def test_guests_that_did_not_begin_are_no_cancelled_ones(execution):
    instructions = execution.instructions.filter(index=0)
    instructions.update(status=Instruction.Status.RUNNING)
    Batch.objects.filter(instruction__run=execution).update(status="finished")
    Task.objects.filter(instruction__run=execution).update(status="skipped")

    join(instructions.get().pk)

    assert instructions.get().status == "succeeded"
    assert instructions.get().message == "0 of 2 were done; 2 were not begun."
