"""Batches: each is claimed once and worked once, and the last one writes the result.

Also what becomes of errors in them: those of the engine are shown as they are, those
that nobody foresaw by a reference.
"""

import threading

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from orchestration.errors import StateError
from orchestration.plan.model import Command, Options
from testbed.models import Batch, Instruction, Run, Task, Testbed
from testbed.runs.batches import claim, run_batch
from testbed.runs.dispatch import hand_over
from testbed.runs.joining import finish_batch
from tests.testbed.preparing import prepare
from tests.testbed.runs.batches import results

pytestmark = pytest.mark.django_db(transaction=True)


def test_each_host_of_an_instruction_is_a_batch(on_two_hosts, doors):
    hosts = Batch.objects.filter(instruction__kind="check-hosts")

    assert sorted(hosts.values_list("host", flat=True)) == ["host-b", "main"]
    assert len(doors.sent) == 2


def test_result_comes_with_the_last_batch(on_two_hosts, doors):
    (first, _), (second, _) = doors.sent
    before = results(on_two_hosts).count()

    run_batch(first)
    between = results(on_two_hosts).count()
    run_batch(second)

    assert (between, results(on_two_hosts).count()) == (before, before + 1)


@pytest.mark.parametrize("attempt", range(5))
def test_of_batches_that_finish_at_once_one_writes_the_result(
    on_two_hosts, doors, attempt
):
    taken = [claim(batch_id, owner=str(batch_id)) for batch_id, _ in doors.sent]
    Task.objects.filter(instruction__kind="check-hosts").update(status="done")
    before = results(on_two_hosts).count()
    barrier = threading.Barrier(2)

    def finish(batch):
        barrier.wait(timeout=30)
        finish_batch(batch)
        connection.close()

    threads = [threading.Thread(target=finish, args=(batch,)) for batch in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    instruction = Instruction.objects.get(kind="check-hosts")
    assert instruction.status == Instruction.Status.SUCCEEDED
    assert results(on_two_hosts).count() == before + 1


def test_batch_is_claimed_once(on_two_hosts, doors):
    batch_id = doors.sent[0][0]

    assert claim(batch_id, owner="one") is not None
    assert claim(batch_id, owner="two") is None


def test_claim_tests_the_row_itself_and_not_what_a_subquery_saw(on_two_hosts, doors):
    """PostgreSQL lets a second claim wait, and then tests only the row's own fields."""
    with CaptureQueriesContext(connection) as asked:
        claim(doors.sent[0][0], owner="one")

    (update,) = (q["sql"] for q in asked if q["sql"].startswith("UPDATE"))
    assert " IN (SELECT" not in update
    assert '"testbed_batch"."status" = \'queued\'' in update.partition("WHERE")[2]


def test_message_that_comes_twice_works_once(on_two_hosts, doors):
    doors.engine.worked.clear()
    batch_id = doors.sent[0][0]

    run_batch(batch_id)
    run_batch(batch_id)

    assert len(doors.engine.worked) == 1


def test_unreadable_state_fails_the_tasks_with_its_words(on_two_hosts, doors, testbed):
    testbed.project.state_file.write_text("{broken")

    doors.run_sent()

    on_two_hosts.refresh_from_db()
    tasks = Task.objects.filter(instruction__kind="check-hosts")
    assert {task.status for task in tasks} == {"failed"}
    assert "cannot be read" in tasks[0].message
    assert on_two_hosts.status == Run.Status.FAILED


def test_unforeseen_error_shows_a_reference_and_logs_the_rest(
    on_two_hosts, doors, caplog
):
    doors.engine.error = ZeroDivisionError("secret detail")

    doors.run_sent()

    task = Task.objects.filter(instruction__kind="check-hosts").first()
    reference = task.hint.split()[3]
    assert "secret" not in task.message + task.hint + task.detail
    assert reference in caplog.text
    assert "secret detail" in caplog.text


def test_engine_error_is_shown_as_it_is(on_two_hosts, doors):
    doors.engine.error = StateError("It is so.", hint="Do this.", detail="why")

    doors.run_sent()

    task = Task.objects.filter(instruction__kind="check-hosts").first()
    assert (task.message, task.hint, task.detail) == ("It is so.", "Do this.", "why")


def test_failed_run_keeps_the_list_of_what_may_still_run(on_two_hosts, doors):
    left = [{"host": "main", "machine": "a", "tag": "t", "pid": 0, "name": "silent"}]
    Run.objects.filter(pk=on_two_hosts.pk).update(leftovers=left)
    doors.engine.fails = {"main", "host-b"}

    doors.run_sent()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.FAILED
    assert on_two_hosts.leftovers == left
    assert "Not confirmed as ended: what may run on a." in on_two_hosts.message


def test_failed_change_of_what_is_up_leaves_it_partial(make_run, doors, owner, testbed):
    prepare(testbed, Command.UP, Options())
    testbed.condition = Testbed.Condition.UP
    testbed.save()
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("name: db", "name: store"))
    doors.engine.fails = {"db"}
    doors.is_automatic = True

    run = make_run()
    hand_over(run.pk, "")
    doors.join()

    testbed.refresh_from_db()
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert "db does not work." in run.message
    assert ("stop-guests", "host-b") in doors.engine.worked
    assert not any(kind == "start-guests" for kind, _ in doors.engine.worked)
    assert testbed.condition == Testbed.Condition.PARTIAL
    assert testbed.project.has_unfinished_change()
