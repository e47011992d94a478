"""Events become rows: numbered without gaps, complete, cleaned, and announced."""

import json
import threading

import pytest
from django.db import DataError, OperationalError, transaction
from redis.exceptions import ConnectionError as RedisGone

from orchestration.events import (
    LogLine,
    Status,
    Stream,
    TaskFinished,
    TaskProgressed,
    TaskStarted,
)
from orchestration.instructions.bounded_log import LINE_BYTES
from testbed.models import Event, Task
from testbed.runs import recorder as recorder_module
from testbed.runs.doorbell import ring
from testbed.runs.event_rows import PIECE_CHARACTERS
from testbed.runs.recorder import Recorder, finish_tasks, record

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, LINES = 20, 1000


@pytest.fixture
def rings(monkeypatch):
    """The numbers that the doorbell rang with."""
    rung = []
    monkeypatch.setattr(
        recorder_module, "ring", lambda run_id, seq, **_: rung.append((run_id, seq))
    )
    return rung


def line(text, resource="web"):
    return LogLine(0, resource, "main", Stream.STDOUT, text)


def test_twenty_talkers_lose_no_line_and_leave_no_gap(make_run, rings):
    run = make_run()
    before = run.last_seq
    recorder = Recorder(run.pk)

    def talk(number):
        for count in range(LINES):
            recorder.sink(line(str(count), resource=f"guest-{number}"))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.close()

    run.refresh_from_db()
    rows = list(run.events.values_list("seq", "resource", "text"))
    assert [seq for seq, _, _ in rows] == list(
        range(before + 1, before + THREADS * LINES + 1)
    )
    assert run.last_seq == before + THREADS * LINES
    for number in range(THREADS):
        said = [text for _, resource, text in rows if resource == f"guest-{number}"]
        assert said == [str(count) for count in range(LINES)]
    assert rings[-1] == (run.pk, run.last_seq)


def test_last_ring_names_the_last_event_also_behind_a_full_batch(make_run, rings):
    run = make_run()
    recorder = Recorder(run.pk, batch_events=1)

    for number in range(3):
        recorder.sink(line(f"batch {number}"))
    recorder.close()

    run.refresh_from_db()
    assert run.events.count() == 3
    assert rings[-1] == (run.pk, run.last_seq)


def test_full_recorder_makes_talkers_wait_and_loses_nothing(make_run, rings):
    run = make_run()
    most, recorder = [], Recorder(run.pk, full_characters=1000)

    for _ in range(30):
        recorder.sink(line("x" * 400))
        most.append(recorder._characters)
    recorder.close()

    assert run.events.count() == 30
    assert max(most) <= 1000 + 400


def test_run_counts_what_its_log_and_its_plan_take(make_run, rings):
    run = make_run()
    before = run.log_bytes
    recorder = Recorder(run.pk)

    recorder.sink(line("x" * 1000))
    recorder.close()

    run.refresh_from_db()
    assert before > len(json.dumps(run.plan)) / 2
    assert run.log_bytes - before == 1000 + len("{}") + LINE_BYTES


def test_output_above_the_limit_of_a_run_is_cut_once_and_results_are_kept(
    make_run, rings
):
    run = make_run()
    limit = run.log_bytes + 20 * LINE_BYTES
    recorders = [Recorder(run.pk, batch_events=1, limit_bytes=limit) for _ in range(2)]

    for count in range(60):
        recorders[count % 2].sink(line(str(count)))
    recorders[0].sink(LogLine(0, "web", "main", Stream.INFO, "the engine's own"))
    recorders[1].sink(TaskStarted(0, "web", "main"))
    for recorder in recorders:
        recorder.close()

    texts = list(run.events.filter(kind="log").values_list("text", flat=True))
    cuts = [text for text in texts if text.startswith("Cut here: the log of this run")]
    assert (len(cuts), "the engine's own" in texts) == (1, True)
    assert 15 <= len(texts) <= 22
    assert run.events.filter(kind="task-started").count() == 1
    run.refresh_from_db()
    assert run.log_is_cut
    seqs = list(run.events.values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


def test_two_recorders_of_one_run_share_its_numbers(make_run, rings):
    run = make_run()
    recorders = [Recorder(run.pk), Recorder(run.pk)]

    for count in range(600):
        recorders[count % 2].sink(line(str(count)))
    for recorder in recorders:
        recorder.close()

    seqs = list(run.events.values_list("seq", flat=True))
    assert seqs == list(range(1, 601))


def test_task_rows_follow_their_events(make_run, rings):
    run = make_run()
    task = Task.objects.filter(instruction__run=run, instruction__index=0).get()
    place = (0, task.resource, task.host)
    recorder = Recorder(run.pk)

    recorder.sink(TaskStarted(*place))
    for done in range(10):
        recorder.sink(TaskProgressed(*place, done, 10, "B", "copying", 3, 10 - done))
    recorder.sink(TaskFinished(*place, Status.WARNING, "Odd.", "Look.", "why", 1.5))
    recorder.close()

    task.refresh_from_db()
    assert (task.status, task.message, task.hint, task.detail, task.seconds) == (
        "warning",
        "Odd.",
        "Look.",
        "why",
        1.5,
    )
    assert (task.done, task.total, task.unit, task.note) == (9, 10, "B", "copying")
    assert (task.rate, task.left_s) == (3, 1)
    newest = run.events.filter(kind="task-progressed").last().data
    assert (newest["rate"], newest["left_s"]) == (3, 1)
    kinds = list(run.events.values_list("kind", flat=True))
    assert kinds[0] == "task-started"
    assert kinds[-1] == "task-finished"


def test_tasks_of_other_hosts_are_not_read(make_run, rings):
    run = make_run()
    other = Task.objects.filter(instruction__run=run, host="host-b").first()
    task = Task.objects.filter(instruction=other.instruction, host="main").first()
    recorder = Recorder(run.pk)

    recorder.sink(TaskStarted(task.instruction.index, task.resource, "main"))
    recorder.close()

    assert {host for _, _, host in recorder._task_ids} == {"main"}
    task.refresh_from_db()
    assert task.status == Task.Status.RUNNING


def test_characters_that_no_database_stores_are_replaced_visibly(make_run, rings):
    run = make_run()
    recorder = Recorder(run.pk)

    recorder.sink(line("a\0b\ud800c é \x1b[31m"))
    recorder.close()
    record(run.pk, Event.Kind.LOG, text="x\0y", words=["\0", {"a\0": "\ud800"}])

    first, second = run.events.all()
    assert first.text == "a␀b�c é \x1b[31m"
    assert (second.text, second.data) == ("x␀y", {"words": ["␀", {"a␀": "�"}]})


def test_long_line_is_cut_in_pieces_that_say_so(make_run, rings):
    run = make_run()
    recorder = Recorder(run.pk)

    recorder.sink(line("x" * (2 * PIECE_CHARACTERS + 1)))
    recorder.sink(line("next"))
    recorder.close()

    rows = run.events.values_list("text", "data")
    assert [(len(text), data) for text, data in rows] == [
        (PIECE_CHARACTERS, {}),
        (PIECE_CHARACTERS, {"continues": True}),
        (1, {"continues": True}),
        (4, {}),
    ]


def test_locked_database_delays_and_loses_nothing(make_run, rings, monkeypatch):
    run = make_run()
    tries, real = [], recorder_module.insert

    def locked_at_first(run_id, rows, **limit):
        tries.append(len(rows))
        if len(tries) < 3:
            raise OperationalError("database is locked")
        return real(run_id, rows, **limit)

    monkeypatch.setattr(recorder_module, "insert", locked_at_first)
    recorder = Recorder(run.pk)

    recorder.sink(line("kept"))
    recorder.close()

    assert len(tries) == 3
    assert list(run.events.values_list("text", flat=True)) == ["kept"]


@pytest.mark.parametrize("error", [DataError, ValueError])
def test_event_that_cannot_be_stored_takes_no_other_with_it(
    make_run, rings, monkeypatch, error
):
    run, real = make_run(), recorder_module.insert

    def refuse(run_id, rows, **limit):
        if any(row.text == "bad" for row in rows):
            raise error("not this one")
        return real(run_id, rows, **limit)

    monkeypatch.setattr(recorder_module, "insert", refuse)
    recorder = Recorder(run.pk)

    for text in ("one", "two", "bad", "three", "four"):
        recorder.sink(line(text))
    recorder.close()

    said = list(run.events.values_list("seq", "text"))
    assert said == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]


def test_doorbell_that_fails_is_ignored(make_run, monkeypatch):
    class DeadLayer:
        async def group_send(self, group, message):
            raise RedisGone("no Redis")

    run = make_run()
    monkeypatch.setattr("testbed.runs.doorbell.get_channel_layer", DeadLayer)

    ring(run.pk, 1)
    record(run.pk, Event.Kind.LOG, text="still here")

    assert run.events.get().text == "still here"


def test_fact_of_a_failed_transaction_is_gone_with_it(make_run, rings):
    run = make_run()

    def fail():
        with transaction.atomic():
            record(run.pk, Event.Kind.LOG, text="never")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    record(run.pk, Event.Kind.LOG, text="first")

    assert [(e.seq, e.text) for e in Event.objects.all()] == [(1, "first")]
    assert rings == [(run.pk, 1)]


def test_tasks_that_nobody_will_end_are_ended(make_run, rings):
    run = make_run()
    tasks = Task.objects.filter(
        instruction__run=run, instruction__kind="start-guests"
    ).select_related("instruction")

    finish_tasks(run.pk, tasks, Status.FAILED, message="Lost.", hint="Again.")

    assert {(t.status, t.message) for t in tasks.all()} == {("failed", "Lost.")}
    events = run.events.values_list("resource", "data__status")
    assert sorted(events) == [("db", "failed"), ("web", "failed")]


def test_of_long_evidence_the_end_is_kept_and_the_cut_said(make_run, rings):
    run = make_run()
    task = Task.objects.filter(instruction__run=run, instruction__index=0).get()
    place = (0, task.resource, task.host)
    recorder = Recorder(run.pk)

    recorder.sink(TaskFinished(*place, Status.FAILED, "No.", detail="x" * 50_000 + "y"))
    recorder.close()

    task.refresh_from_db()
    assert task.detail.startswith("… 42001 characters before this …\n")
    assert task.detail.endswith("xy")
    assert run.events.get().data["detail"] == task.detail
