"""The events for a websocket: all, or the tail of a flood; of all guests or of one."""

from dataclasses import replace

import pytest

from orchestration.events import Status, TaskFinished, TaskStarted
from testbed.models import Event, Run, Task, Testbed
from testbed.pages.logs import LogFilter
from testbed.runs.recorder import Recorder, record
from testbed.websocket.follower import Page, View, read_page
from tests.testbed.conftest import MakeRun
from tests.testbed.event_rows import say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]
ALL = View(page_events=5, tail_lines=3)
TAIL = replace(ALL, is_tail=True)


@pytest.fixture
def run(make_run: MakeRun) -> Run:
    return make_run()


def texts(page: Page) -> list[object]:
    return [frame["text"] for frame in page.frames if frame.get("kind") == "log"]


def test_everything_comes_in_pages(run: Run):
    say(run, [str(number) for number in range(12)])

    seen, after, pages = [], 0, 0
    while True:
        page = read_page(run.pk, after, ALL)
        seen += texts(page)
        after, pages = page.last_seq, pages + 1
        if not page.has_more:
            break

    assert seen == [str(number) for number in range(12)]
    assert pages == 3
    assert after == run.last_seq


@pytest.mark.parametrize("view", [ALL, TAIL], ids=["all", "tail"])
def test_line_is_named_as_people_know_its_resource(run: Run, view: View):
    Testbed.objects.filter(pk=run.testbed.pk).update(name="ring")
    say(run, ["of the testbed"], run.testbed.key, "main")
    say(run, ["of web"], "web", "main")
    record(run.pk, Event.Kind.LOG, text="of nothing")
    entry = {"name": run.testbed.key, "status": "done"}
    record(run.pk, Event.Kind.RESULT, index=0, resources=[entry])

    *lines, result = read_page(run.pk, 0, view).frames
    named = replace(view, log=LogFilter("ring"))

    assert [(one["name"], one["text"]) for one in lines] == [
        ("ring", "of the testbed"),
        ("web", "of web"),
        ("ring", "of nothing"),
    ]
    assert lines[0]["resource"] == run.testbed.key
    assert result["resources"] == [{"name": "ring", "status": "done"}]
    assert texts(read_page(run.pk, 0, named)) == ["of the testbed"]


def test_tail_of_a_flood_says_what_was_left_out(run: Run):
    say(run, [str(number) for number in range(12)])

    page = read_page(run.pk, 0, TAIL)

    assert page.frames[0] == {"type": "skipped", "seq": run.last_seq - 3}
    assert texts(page) == ["9", "10", "11"]
    assert (page.last_seq, page.has_more) == (run.last_seq, False)
    assert page.has_skipped


def test_tail_that_is_short_is_complete(run: Run):
    say(run, ["one", "two"])

    page = read_page(run.pk, 0, TAIL)

    assert texts(page) == ["one", "two"]
    assert not page.has_skipped


def test_tail_leaves_out_nothing_but_lines(run: Run):
    tasks = list(Task.objects.filter(instruction__run=run).select_related())
    recorder = Recorder(run.pk)
    for task in tasks:
        place = (task.instruction.index, task.resource, task.host)
        recorder.sink(TaskStarted(*place))
        recorder.sink(TaskFinished(*place, Status.DONE))
    recorder.close()
    run.refresh_from_db()
    say(run, [str(number) for number in range(12)])

    kinds, lines, after = [], [], 0
    while True:
        page = read_page(run.pk, after, TAIL)
        kinds += [frame["kind"] for frame in page.frames if "kind" in frame]
        lines += texts(page)
        after = page.last_seq
        if not page.has_more:
            break

    assert kinds.count("task-started") == kinds.count("task-finished") == len(tasks)
    assert lines == ["9", "10", "11"]
    assert after == run.last_seq


@pytest.mark.parametrize("view", [ALL, TAIL], ids=["all", "tail"])
def test_only_the_chosen_guest_is_heard_and_all_tasks(run: Run, view: View):
    task = Task.objects.filter(instruction__run=run).select_related().first()
    say(run, ["a", "b"], "web")
    say(run, ["c"] * 4, "db")
    recorder = Recorder(run.pk)
    recorder.sink(TaskStarted(task.instruction.index, task.resource, task.host))
    recorder.close()
    chosen = replace(view, log=LogFilter(resource="web", host="main"))

    page = read_page(run.pk, 0, chosen)

    run.refresh_from_db()
    assert texts(page) == ["a", "b"]
    assert page.frames[-1]["kind"] == "task-started"
    assert (page.last_seq, page.has_more) == (run.last_seq, False)


def test_card_with_much_news_is_rendered_once_a_page(run: Run):
    task = Task.objects.filter(instruction__run=run).select_related().first()
    place = (task.instruction.index, task.resource, task.host)
    recorder = Recorder(run.pk)
    recorder.sink(TaskStarted(*place))
    recorder.sink(TaskFinished(*place, Status.DONE))
    recorder.close()

    page = read_page(run.pk, 0, replace(ALL, has_html=True))

    started, finished = page.frames
    assert "html" not in started
    assert "task--done" in str(finished["html"])
