"""Checks of a guest over HTTP: each is a run of its own, beside commands."""

import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.model import Command
from testbed.models import Run, Task, Testbed
from testbed.runs.creation import create_run
from tests.testbed.answer_rows import execution
from tests.testbed.reading import visible
from tests.testbed.views.guests.checks import REACHED, checked

PAGE = "/testbeds/olive/lab/guests/web/check/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


def test_button_starts_a_run_on_this_guest_alone(browser: Client):
    answer = browser.post(PAGE)

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.is_exclusive) == ("check", False)
    tasks = Task.objects.values_list("instruction__kind", "resource", "host")
    assert list(tasks) == [("check-guests", "web", "main")]


def test_program_gets_the_plan(browser: Client):
    shape = browser.post(PAGE, headers=JSON).json()

    assert shape["run"] == Run.objects.get().pk
    assert [entry["kind"] for entry in shape["instructions"]] == [
        "check-guests",
        "end",
    ]


def test_second_click_leads_to_the_same_run(browser: Client):
    first, second = browser.post(PAGE), browser.post(PAGE)
    browser.post(PAGE.replace("web", "db"))

    assert first["Location"] == second["Location"]
    assert Run.objects.count() == 2


def test_check_runs_beside_a_command(browser: Client, deployed: Testbed, owner: User):
    execution(deployed, owner, ("web",))

    assert browser.post(PAGE).status_code == 302


def test_check_waits_for_a_run_that_changes_guests(
    browser: Client, deployed: Testbed, owner: User
):
    create_run(deployed, owner, Command.UP)

    answer = browser.post(PAGE, headers=JSON)

    assert answer.status_code == 409
    assert "olive has been running up" in answer.json()["error"]


def test_testbed_that_is_down_is_not_checked(browser: Client):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    answer = browser.post(PAGE, headers=JSON)

    assert answer.status_code == 422
    assert not Run.objects.exists()


@pytest.mark.parametrize("name", ["nothing", "@all", "web,db", "main", "lan"])
def test_name_that_is_no_guest_is_not_found(browser: Client, name: str):
    assert browser.post(PAGE.replace("web", name)).status_code == 404
    assert not Run.objects.exists()


def test_stranger_finds_nothing(client: Client, stranger: User):
    client.force_login(stranger)

    assert client.post(PAGE).status_code == 404
    assert not Run.objects.exists()


def test_act_is_logged(browser: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        browser.post(PAGE)

    assert f"act check by olive on lab: Check of web, run {Run.objects.get().pk}" in (
        caplog.messages
    )


@pytest.mark.parametrize(
    ("status", "words", "ended"),
    [
        ("done", REACHED, "Check succeeded."),
        ("failed", "Guest web on main cannot be reached: <b>.", "Check failed."),
    ],
)
def test_run_says_how_it_stands_and_leads_back(
    browser: Client, deployed: Testbed, owner: User, status, words, ended
):
    run = checked(deployed, owner, status=status, message=words)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    deployed.refresh_from_db()
    assert run.message == words
    assert deployed.condition == Testbed.Condition.UP
    assert ended in visible(page)
    assert "<b>.</" not in page
    assert 'href="/testbeds/olive/lab/guests/web/"' in page
    assert f'action="{PAGE}"' in page
    assert "Resume" not in visible(page)
