"""Power of guests over HTTP: buttons for people, JSON for programs, a question before."""

import logging

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from orchestration.plan.model import Command
from testbed.models import Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from tests.testbed.answer_rows import execution
from tests.testbed.confirming import answered, seal_of
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/power/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def kinds(run: Run) -> list[str]:
    return [entry["kind"] for entry in run.plan["instructions"]]


def test_button_starts_a_run_of_the_ticked_guests(browser: Client):
    answer = browser.post(PAGE, {"verb": "shut-down", "guests": ["web"]})

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.title, run.is_exclusive) == ("power", "Shut down", True)
    assert run.options == {"verb": "shut-down", "selection": "web"}
    assert kinds(run) == ["shut-down", "end"]
    assert list(Task.objects.values_list("resource", "host")) == [("web", "main")]


def test_ticked_guests_join_the_selection(browser: Client):
    browser.post(PAGE, {"verb": "pause", "selection": "web", "guests": ["db"]})

    assert Run.objects.get().options["selection"] == "web,db"


@pytest.mark.parametrize(
    ("guests", "way", "words"),
    [
        (["web"], "/testbeds/olive/lab/guests/web/", "To web"),
        (["web", "db"], "/testbeds/olive/lab/", "To lab"),
    ],
)
def test_run_of_one_guest_leads_back_to_its_page(
    browser: Client, guests: list[str], way: str, words: str
):
    browser.post(PAGE, {"verb": "pause", "guests": guests})
    run = Run.objects.get()
    Task.objects.update(status=Task.Status.DONE)
    finish_run(run.pk, Run.Status.SUCCEEDED)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    outcome = page.partition('class="outcome__next"')[2]
    assert f'href="{way}"' in outcome.partition("</a>")[0]
    assert words in visible(outcome)


@pytest.mark.parametrize("selection", ["web\0", "web\ud800"])
def test_selection_that_no_database_stores_is_refused_and_not_sent_to_it(
    browser: Client, selection: str
):
    wish = {"verb": "pause", "selection": selection}

    with CaptureQueriesContext(connection) as queries:
        answer = browser.post(PAGE, wish, content_type="application/json")

    assert answer.status_code == 422
    statements = "".join(query["sql"] for query in queries)
    assert "u0000" not in statements
    assert "ud800" not in statements


@pytest.mark.parametrize("verb", ["reset", "power-off"])
def test_verb_that_loses_data_asks_first_and_names_the_guests(
    browser: Client, verb: str
):
    question = browser.post(PAGE, {"verb": verb, "selection": "@all"})
    assert not Run.objects.exists()

    answer = answered(browser, question)

    page = squeezed(question.content.decode())
    assert question.status_code == 200
    assert "web on main" in visible(page)
    assert "db on host-b" in visible(page)
    assert answer["Location"] == f"/runs/{Run.objects.get().pk}/"


def test_answer_for_other_guests_is_asked_again(browser: Client):
    question = browser.post(PAGE, {"verb": "reset", "selection": "web"})
    sure = {"verb": "reset", "selection": "@all", "seal": seal_of(question)}

    assert browser.post(PAGE, sure).status_code == 422
    assert not Run.objects.exists()


def test_program_sends_json_and_is_not_asked(browser: Client):
    wanted = {"verb": "power-off", "selection": "@host:main"}

    answer = browser.post(PAGE, wanted, content_type="application/json")

    shape = answer.json()
    assert shape["run"] == Run.objects.get().pk
    assert shape["instructions"][0] == {
        "index": 0,
        "kind": "power-off",
        "title": "Force off 1 guest",
        "resources": ["web"],
    }


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"verb": "up", "selection": "web"}, "There is no power verb `up`."),
        ({"verb": "pause"}, "No guest is selected."),
        ({"verb": "reset", "selection": "x-*"}, "`x-*` selects no guest."),
    ],
)
def test_refusal_is_a_sentence_and_makes_no_run(browser: Client, values, sentence):
    page = browser.post(PAGE, values)
    shape = browser.post(PAGE, values, headers=JSON)

    assert (page.status_code, shape.status_code) == (422, 422)
    shown = visible(page.content.decode())
    assert sentence.replace("`", "").rstrip(".") in shown
    assert shape.json()["error"] == sentence
    assert not Run.objects.exists()


@pytest.mark.parametrize("body", ["{", "[]", '{"verb": 1}'])
def test_body_that_is_no_power_command_is_refused(browser: Client, body: str):
    answer = browser.post(PAGE, body, content_type="application/json")

    assert answer.status_code == 422
    assert answer.json()["error"] == "The body is not the JSON of an act on guests."


@pytest.mark.parametrize("verb", ["pause", "reset"])
def test_other_run_keeps_power_away(
    browser: Client, deployed: Testbed, owner: User, verb: str
):
    execution(deployed, owner, ("web",))

    answer = browser.post(PAGE, {"verb": verb, "selection": "web"})

    assert answer.status_code == 409
    assert "olive has been running a command" in visible(answer.content.decode())


def test_testbed_that_is_not_up_has_no_power(browser: Client, deployed: Testbed):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    answer = browser.post(PAGE, {"verb": "power-on", "selection": "web"}, headers=JSON)

    assert answer.status_code == 422
    assert "is not up" in answer.json()["error"]


def test_act_is_logged(browser: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        browser.post(PAGE, {"verb": "pause", "selection": "web"})

    run = Run.objects.get()
    line = f"act power by olive on lab: Pause on web, run {run.pk}"
    assert line in caplog.messages


def test_buttons_send_the_form_of_the_command_bar(browser: Client):
    page = squeezed(browser.get("/testbeds/olive/lab/").content.decode())

    button = page.partition('id="power-shut-down"')[2].partition(">")[0]
    assert 'form="command-form"' in button
    assert f'formaction="{PAGE}"' in button
    assert 'name="verb" value="shut-down"' in button
    assert "disabled" not in button


def test_buttons_wait_while_a_run_is_on(
    browser: Client, deployed: Testbed, owner: User
):
    create_run(deployed, owner, Command.UP)
    Testbed.objects.update(condition=Testbed.Condition.UP)

    page = squeezed(browser.get("/testbeds/olive/lab/").content.decode())

    button = page.partition('id="power-pause"')[2].partition(">")[0]
    assert 'disabled aria-describedby="busy"' in button


def test_run_says_on_which_guests_it_failed_and_keeps_the_condition(
    browser: Client, deployed: Testbed
):
    browser.post(PAGE, {"verb": "shut-down", "selection": "@all"})
    run = Run.objects.get()
    tasks = Task.objects.filter(instruction__run=run)
    tasks.filter(resource="web").update(status="done")
    tasks.filter(resource="db").update(status="failed", message="db still runs.")
    finish_run(run.pk, Run.Status.FAILED)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    run.refresh_from_db()
    deployed.refresh_from_db()
    assert run.message == "Succeeded on 1 of 2 guests; failed on db."
    assert deployed.condition == Testbed.Condition.UP
    assert "Shut down failed." in visible(page)
    assert "db still runs." in visible(page)
    assert 'name="verb" value="shut-down"' in squeezed(page)
    assert "Resume" not in visible(page)
