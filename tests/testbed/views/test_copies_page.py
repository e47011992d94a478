"""The page of a push or fetch: how far each copy is, and how it ended."""

from collections.abc import Iterable

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client
from django.utils import timezone

from orchestration.events import Status, TaskFinished, TaskProgressed, TaskStarted
from orchestration.plan.execution import Execution, Form
from testbed.models import Event, Run, Task, Testbed
from testbed.pages.board import SHOWN_TASKS
from testbed.runs.event_rows import insert, rows_of, task_change
from testbed.runs.recorder import Recorder
from testbed.websocket.follower import View, read_page
from testbed.websocket.fragments import html_of
from tests.testbed.answer_rows import end, execution
from tests.testbed.reading import visible

pytestmark = pytest.mark.django_db(transaction=True)
MIB = 1024 * 1024
NAMES = ("web-0", "web-1", "web-2")
PUSH = Execution(Form.PUSH, "@all", path="site", target="/srv/site")
DONE = "3 files, 4.0 KiB, digest verified"


@pytest.fixture
def run(testbed: Testbed, owner: User) -> Run:
    return running(testbed, owner, NAMES)


def running(testbed: Testbed, owner: User, names: Iterable[str]) -> Run:
    run = execution(testbed, owner, names, PUSH)
    Run.objects.filter(pk=run.pk).update(status="running")
    run.refresh_from_db()
    return run


def progressed(run: Run, guest: str, done: int = 48 * MIB) -> None:
    """Let a guest's copy run, and store the event as a worker does."""
    event = TaskProgressed(0, guest, "main", done, 200 * MIB, "B", "push", 92 * MIB, 2)
    tasks = Task.objects.filter(instruction__run=run, resource=guest)
    tasks.update(status="running", **task_change(event))
    with transaction.atomic():
        insert(run.pk, rows_of(event, at=timezone.now()))


def test_running_copy_is_shown_with_bytes_rate_and_what_is_left(
    browser: Client, run: Run
):
    progressed(run, "web-0")

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    event = run.events.get(kind="task-progressed")
    for html in (page, html_of(event, run)):
        assert 'aria-valuetext="48 of 200 MiB, 92 MiB/s, 2 s left"' in html
    assert "0 of 3 guests 1 running web-0" in visible(page)
    assert "No copy is complete yet." in visible(page)
    assert "data-copies" in page


def test_several_copies_are_summed_up_on_the_page_and_with_each_event(
    browser: Client, run: Run
):
    progressed(run, "web-0")
    progressed(run, "web-1", done=10 * MIB)

    answers = browser.get(f"/runs/{run.pk}/answers/").content.decode()

    event = run.events.filter(kind="task-progressed").last()
    for html in (answers, html_of(event, run)):
        assert "2 copies 58 of 400 MiB 184 MiB/s 2 s left" in visible(html)


def test_each_copy_has_its_own_news_among_the_answers(run: Run):
    recorder = Recorder(run.pk)
    for name in NAMES:
        recorder.sink(TaskStarted(0, name, "main"))
    recorder.close()
    for name in NAMES:
        progressed(run, name)

    frames = read_page(run.pk, 0, View(has_html=True)).frames

    shown = [frame for frame in frames if "html" in frame]
    kinds = [frame["kind"] for frame in shown]
    assert kinds == ["task-started", *["task-progressed"] * 3]
    assert [
        f'id="task-{task.pk}"' in frame["html"]
        for task, frame in zip(
            Task.objects.filter(instruction__run=run), shown[1:], strict=True
        )
    ] == [True] * 3


def test_many_copies_show_some_cards_and_count_the_others(
    browser: Client, testbed: Testbed, owner: User, django_assert_max_num_queries
):
    run = running(testbed, owner, [f"n{number}" for number in range(100)])
    Task.objects.filter(instruction__run=run).update(status="running")

    with django_assert_max_num_queries(20):
        page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert page.count("task--running") == SHOWN_TASKS
    assert "40 more guests not shown here" in visible(page)


def test_ended_copies_are_folded_with_what_arrived(browser: Client, run: Run):
    recorder = Recorder(run.pk)
    for name in NAMES[:2]:
        recorder.sink(TaskFinished(0, name, "main", Status.DONE, DONE))
    lost = "Guest web-2 on main does not answer: No route to host."
    recorder.sink(TaskFinished(0, "web-2", "main", Status.FAILED, lost, "See it."))
    recorder.close()
    end(run, "failed")

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert Event.Kind.TASK_FINISHED in run.events.values_list("kind", flat=True)
    text = visible(page)
    assert "web-[0-1] 2 guests" in text
    assert DONE in text
    assert lost in text
    assert "All as ZIP" not in text
    assert "task--running" not in page
