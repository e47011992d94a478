"""The page of a command's run: folded answers, their filter, and ways to take them."""

import io
import json
import zipfile

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.test import Client

from orchestration.events import Answer, Status, TaskFinished
from testbed.models import Event, Run, Task, Testbed
from testbed.pages.board import SHOWN_TASKS
from testbed.pages.execution.search import search
from testbed.runs.recorder import Recorder
from testbed.websocket.follower import View, read_page
from testbed.websocket.fragments import header_of
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.reading import squeezed, visible

NAMES = ("web-0", "web-1", "web-2")
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def run(testbed: Testbed, owner: User) -> Run:
    found = execution(testbed, owner, NAMES)
    answer(found, "web-0", "Linux \x1b[1mone\x1b[0m", "<b>two</b>")
    answer(found, "web-1", "Linux \x1b[1mone\x1b[0m", "<b>two</b>")
    answer(found, "web-2", "out", errors=["broken"], exit_code=3)
    end(found, "failed")
    return found


def body(answer: StreamingHttpResponse) -> bytes:
    async def read() -> bytes:
        return b"".join([part async for part in answer.streaming_content])

    return async_to_sync(read)()


def test_page_shows_folded_answers_instead_of_a_board(browser: Client, run: Run):
    page = browser.get(f"/runs/{run.pk}/").content.decode()

    text = visible(page)
    assert "uname on @all" in text
    assert "3 of 3 guests" in text
    assert text.index("web-2 1 guest exit code 3") < text.index("web-[0-1] 2 guests")
    assert "Linux one" in text
    assert "&lt;b&gt;two&lt;/b&gt;" in page
    assert "\x1b" not in page
    assert 'answer__line--stderr">broken' in squeezed(page)
    assert "stage__head" not in page


def test_filter_shows_the_failed_or_those_with_a_text(browser: Client, run: Run):
    address = f"/runs/{run.pk}/answers/"
    failed = visible(browser.get(address, {"failed": "on"}).content.decode())
    found = visible(browser.get(address, {"text": "TWO"}).content.decode())
    none = visible(browser.get(address, {"text": "three"}).content.decode())

    assert ("web-2" in failed, "Linux one" in failed) == (True, False)
    assert ("web-2" in found, "web-[0-1]" in found) == (False, True)
    assert "Linux one" not in found, "only the lines with the text"
    assert "No answer fits the filter." in none


def test_page_says_how_far_a_search_came(
    browser: Client, run: Run, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(search.__kwdefaults__, "most_bytes", 15)

    page = visible(browser.get(f"/runs/{run.pk}/", {"text": "broken"}).content.decode())

    assert "web-2" in page
    assert "Searched the first 11 B of 40 B: the rest may have the text, too." in page


def test_program_gets_all_answers_as_json(browser: Client, run: Run):
    shape = json.loads(body(browser.get(f"/runs/{run.pk}/answers/?format=json")))

    assert (shape["command"], shape["status"]) == ("uname", "failed")
    first, second = shape["blocks"]
    assert (first["guests"], first["exit_code"]) == (["web-2"], 3)
    assert first["output"] == [["stdout", "out"], ["stderr", "broken"]]
    assert (second["folded"], second["count"]) == ("web-[0-1]", 2)


def test_guests_that_answered_through_their_agent_are_named(browser: Client, run: Run):
    task = Task.objects.get(instruction__run=run, resource="web-1")
    Task.objects.filter(pk=task.pk).update(answer={**task.answer, "by_agent": True})

    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())
    shape = json.loads(body(browser.get(f"/runs/{run.pk}/answers/?format=json")))

    assert "Through the guest agent, not over SSH: web-1." in page
    assert [block["by_agent"] for block in shape["blocks"]] == [[], ["web-1"]]
    assert shape["blocks"][1]["folded"] == "web-[0-1]"


def test_whole_output_is_text_of_one_stream_or_both(browser: Client, run: Run):
    address = f"/runs/{run.pk}/answers/web-2/"

    assert body(browser.get(address)) == b"out\nbroken\n"
    assert body(browser.get(address, {"stream": "stderr"})) == b"broken\n"
    assert browser.get(f"/runs/{run.pk}/answers/db/").status_code == 404


def test_archive_has_each_guests_output_and_a_table(browser: Client, run: Run):
    answered = browser.get(f"/runs/{run.pk}/answers.zip")

    archive = zipfile.ZipFile(io.BytesIO(body(answered)))
    folder = f"lab-answers-{run.pk}"
    assert archive.testzip() is None
    assert archive.read(f"{folder}/web-2.txt") == b"out\nbroken\n"
    assert archive.read(f"{folder}/web-2.stderr.txt") == b"broken\n"
    assert b"<b>two</b>" in archive.read(f"{folder}/web-1.txt")
    assert json.loads(archive.read(f"{folder}/answers.json"))["run"] == run.pk
    assert f"{folder}/web-1.stderr.txt" not in archive.namelist()


def test_two_guests_are_compared(browser: Client, run: Run):
    address = f"/runs/{run.pk}/difference/"
    shown = browser.get(address, {"of": "web-0", "and": "web-2"}).content.decode()
    wrong = browser.get(address, {"of": "web-0", "and": "db"}).content.decode()

    assert "+stderr: broken" in visible(shown)
    assert "Guest db has no answer" in visible(wrong)
    assert browser.get(address).status_code == 200


def test_two_guests_with_unlike_answers_are_compared_at_first(
    browser: Client, run: Run
):
    page = browser.get(f"/runs/{run.pk}/difference/").content.decode()
    likewise = browser.get(f"/runs/{run.pk}/difference/", {"of": "web-1"})

    assert page.count("<option selected>web-2") == 1
    assert page.count("<option selected>web-0") == 1
    assert "-stderr: broken" in visible(page)
    assert "<option selected>web-2" in likewise.content.decode()


def test_answer_of_a_guest_alone_is_compared_with_none(
    browser: Client, testbed: Testbed, owner: User
):
    alone = execution(testbed, owner, NAMES[:1])
    answer(alone, "web-0", "Linux")
    end(alone)

    page = browser.get(f"/runs/{alone.pk}/difference/")

    assert page.status_code == 200
    assert "No difference" not in page.content.decode()


def test_answer_is_compared_with_the_last_run_of_the_same_command(
    browser: Client, testbed: Testbed, owner: User, run: Run
):
    again = execution(testbed, owner, NAMES[:1])
    answer(again, "web-0", "Linux two")
    end(again)

    page = visible(browser.get(f"/runs/{again.pk}/").content.decode())
    query = {"of": "web-0", "with": run.pk}
    shown = browser.get(f"/runs/{again.pk}/difference/", query).content.decode()

    assert f"Since #{run.pk} , just now, another answer on web-0" in page
    assert "-Linux two" in visible(shown)


def test_run_of_another_testbed_is_not_compared(
    browser: Client, run: Run, stranger: User
):
    foreign = Testbed.objects.create(owner=stranger, slug="far", number=9)
    other = execution(foreign, stranger, NAMES)

    answered = browser.get(f"/runs/{run.pk}/difference/?of=web-0&with={other.pk}")

    assert answered.status_code == 404


def test_command_runs_again_on_the_failed_or_on_all(
    browser: Client, generated: Testbed, owner: User, doors: object
):
    generated.condition = Testbed.Condition.UP
    generated.save()
    first = execution(generated, owner, ("web", "db"))
    answer(first, "web", "a")
    answer(first, "db", exit_code=1)
    end(first, "failed")

    for on in ("failed", "all"):
        browser.post("/testbeds/olive/lab/exec/", {"again": first.pk, "on": on})
    page = browser.get(f"/runs/{first.pk}/").content.decode()
    unknown = browser.post("/testbeds/olive/lab/exec/", {"again": "99999"})

    found = Run.objects.exclude(pk=first.pk).order_by("pk")
    assert [run.options["selection"] for run in found] == ["db", "@all"]
    assert "Run again on the failed" in visible(page)
    assert unknown.status_code == 422


def test_removed_output_is_said_and_never_an_error(browser: Client, run: Run):
    for name in NAMES:
        (run.testbed.project.answers(run.pk) / name).unlink()

    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())
    shape = json.loads(body(browser.get(f"/runs/{run.pk}/answers/?format=json")))

    assert "Its output was removed" in page
    assert shape["blocks"][0]["output"] is None


def test_stranger_gets_no_answers(client: Client, stranger: User, run: Run):
    client.force_login(stranger)

    parts = ("", "answers/", "answers.zip", "answers/web-0/", "difference/")
    found = {client.get(f"/runs/{run.pk}/{part}").status_code for part in parts}

    assert found == {404}


def test_run_without_answers_has_no_page_of_them(browser: Client, make_run):
    number = make_run().pk

    assert browser.get(f"/runs/{number}/answers/").status_code == 404


def test_many_answers_are_a_page_of_first_lines(
    browser: Client, testbed: Testbed, owner: User, django_assert_max_num_queries
):
    names = [f"n{number}" for number in range(120)]
    run = execution(testbed, owner, names)
    for name in names:
        answer(run, name, *(f"{name} {line}" for line in range(100)))
    end(run)

    with django_assert_max_num_queries(20):
        page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert page.count('class="answer ') < len(names)
    assert "80 more lines" in page
    assert "of 120 different answers" in visible(page)
    assert len(names) > SHOWN_TASKS


def test_end_of_a_run_takes_the_bar_of_its_answers_away(run: Run):
    going = Run.objects.get(pk=run.pk)
    going.status = Run.Status.RUNNING

    assert "<progress" in header_of(going)
    head = header_of(run)
    assert "3 of 3 guests" in visible(head)
    assert "<progress" not in head


def test_many_answers_at_once_are_one_fragment(testbed: Testbed, owner: User):
    names = [f"n{number}" for number in range(100)]
    run = execution(testbed, owner, names)
    recorder = Recorder(run.pk)
    for name in names:
        ended = Answer(0, 1, 6, "d")
        recorder.sink(TaskFinished(0, name, "main", Status.DONE, answer=ended))
    recorder.close()

    frames = read_page(run.pk, 0, View(has_html=True)).frames

    assert run.events.filter(kind=Event.Kind.TASK_FINISHED).count() == 100
    shown = [frame["html"] for frame in frames if "html" in frame]
    assert len(shown) == 1
    assert "100 of 100 guests" in visible(shown[0])
    assert not Task.objects.filter(status="waiting").exists()
