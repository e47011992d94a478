"""Up of single guests over HTTP: buttons, JSON, a question before disks are erased."""

import logging

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from orchestration.plan.model import Command
from testbed.access import permissions
from testbed.access.permissions import Act
from testbed.access.roles import Role
from testbed.models import Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from tests.testbed.answer_rows import execution
from tests.testbed.confirming import answered, seal_of
from tests.testbed.conftest import YAML
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/up/"
GUEST = "/testbeds/olive/lab/guests/web/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def deployed(testbed: Testbed, owner: User, doors: object) -> Testbed:
    """The testbed, up, with scripts and a disk of each guest."""
    testbed.project.file("setup.sh").write_text("#!/bin/sh\n")
    scripted = YAML.replace("22_04}", "22_04, setup_script: setup.sh}")
    testbed.project.yaml.write_text(scripted)
    run = create_run(testbed, owner, Command.UP)
    for name in ("web", "db"):
        testbed.project.mark(name, disk="ubuntu_22_04 of today")
    finish_run(run.pk, Run.Status.SUCCEEDED)
    Run.objects.all().delete()
    testbed.refresh_from_db()
    return testbed


def worked_on(run: Run) -> set[str]:
    kinds = ("create-disks", "start-guests", "set-up-guests")
    tasks = Task.objects.filter(instruction__run=run, instruction__kind__in=kinds)
    return set(tasks.values_list("resource", flat=True))


def test_button_brings_this_guest_up_alone(browser: Client):
    page = squeezed(browser.get(GUEST).content.decode())

    answer = browser.post(PAGE, {"mode": "up", "selection": "web"})

    button = page.partition('id="guests-up"')[2].partition(">")[0]
    assert 'form="power-form"' in button
    assert f'formaction="{PAGE}"' in button
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.title, run.is_exclusive) == ("up-guests", "Up", True)
    assert run.options == {"mode": "up", "selection": "web"}
    assert worked_on(run) == {"web"}


def test_ticked_guests_join_the_selection(browser: Client):
    browser.post(PAGE, {"mode": "up", "selection": "web", "guests": ["db"]})

    assert worked_on(Run.objects.get()) == {"web", "db"}


def test_recreation_asks_names_the_disks_and_then_erases_them(browser: Client):
    question = browser.post(PAGE, {"mode": "recreate", "selection": "web"})

    text = visible(question.content.decode())
    assert "Recreate 1 guest of lab?" in text
    assert "web on main" in text
    assert "db on" not in text
    assert not Run.objects.exists()
    answered(browser, question, "web")
    run = Run.objects.get()
    assert run.plan["options"]["provision"] is True
    assert run.plan["options"]["guests"] == ["web"]


def test_answer_counts_for_the_guests_that_were_named_only(browser: Client):
    question = browser.post(PAGE, {"mode": "recreate", "selection": "web"})
    seal = seal_of(question)
    wish = {"mode": "recreate", "selection": "web,db", "seal": seal, "typed": "web"}

    answer = browser.post(PAGE, wish)

    assert answer.status_code == 422
    assert "Type lab to confirm" in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_guest_without_a_disk_is_recreated_without_a_question(
    browser: Client, deployed: Testbed
):
    deployed.project.mark("web", disk="")

    browser.post(PAGE, {"mode": "recreate", "selection": "web"})

    assert Run.objects.exists()


def test_program_confirms_what_dies_and_gets_the_plan(browser: Client):
    wish = {"mode": "recreate", "selection": "web"}

    def sent(**more: str) -> HttpResponse:
        body = {**wish, **more}
        return browser.post(PAGE, body, content_type="application/json", headers=JSON)

    refusal = sent()
    assert not Run.objects.exists()
    shape = sent(confirm=refusal.json()["erases"]["confirm"])

    assert refusal.status_code == 428
    assert refusal.json()["error"] == "This erases the disk of web."
    entries = shape.json()["instructions"]
    assert shape.json()["run"] == Run.objects.get().pk
    assert [e["resources"] for e in entries if e["kind"] == "start-guests"] == [["web"]]


def test_scripts_run_again_with_the_files_as_they_are_now(
    browser: Client, deployed: Testbed
):
    before = deployed.project.read_state()
    deployed.project.file("setup.sh").write_text("#!/bin/sh\necho new\n")

    page = squeezed(browser.get(GUEST).content.decode())
    browser.post(PAGE, {"mode": "scripts", "selection": "web"})

    assert 'id="scripts-again"' in page
    run, now = Run.objects.get(), deployed.project.read_state()
    assert run.plan["options"]["rerun_scripts"] is True
    assert now.guest("web").setup_script != before.guest("web").setup_script
    assert now.guest("db") == before.guest("db")


def test_edited_testbed_is_left_to_up(browser: Client, deployed: Testbed):
    yaml = deployed.project.yaml
    yaml.write_text(yaml.read_text().replace("cpus: 1", "cpus: 2"))
    before = deployed.project.read_state()

    answer = browser.post(PAGE, {"mode": "up", "selection": "web"}, headers=JSON)

    assert answer.status_code == 422
    assert "was edited since it was deployed" in answer.json()["error"]
    assert deployed.project.read_state() == before
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"mode": "down", "selection": "web"}, "cannot be brought up by `down`"),
        ({"mode": "up"}, "No guest is selected."),
        ({"mode": "up", "selection": "x-*"}, "`x-*` selects no guest."),
    ],
)
def test_refusal_is_a_sentence_and_makes_no_run(browser: Client, values, sentence):
    shape = browser.post(PAGE, values, headers=JSON)

    assert shape.status_code == 422
    assert sentence in shape.json()["error"]
    assert not Run.objects.exists()


@pytest.mark.parametrize("body", ["{", "[]", '{"mode": 1}'])
def test_body_that_is_no_wish_is_refused(browser: Client, body: str):
    answer = browser.post(PAGE, body, content_type="application/json")

    assert answer.status_code == 422


@pytest.mark.parametrize("mode", ["up", "recreate"])
def test_other_run_keeps_it_away(
    browser: Client, deployed: Testbed, owner: User, mode: str
):
    execution(deployed, owner, ("web",))

    answer = browser.post(PAGE, {"mode": mode, "selection": "web"})

    assert answer.status_code == 409


def test_testbed_that_is_down_is_left_to_up(browser: Client):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    answer = browser.post(PAGE, {"mode": "up", "selection": "web"}, headers=JSON)

    assert answer.status_code == 422
    assert "is not up" in answer.json()["error"]


def test_stranger_finds_nothing(client: Client, stranger: User):
    client.force_login(stranger)

    assert client.post(PAGE, {"mode": "up", "selection": "web"}).status_code == 404


def test_right_to_recreate_is_one_of_its_own(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(permissions.LEAST, Act.RECREATE_GUESTS, Role.ADMIN)

    recreate = browser.post(PAGE, {"mode": "recreate", "selection": "web"})
    up = browser.post(PAGE, {"mode": "up", "selection": "web"})

    assert (recreate.status_code, up.status_code) == (403, 302)


def test_act_is_logged(browser: Client, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        browser.post(PAGE, {"mode": "up", "selection": "web"})

    run = Run.objects.get()
    assert f"act up_guests by olive on lab: Up on web, run {run.pk}" in caplog.messages


def test_run_that_succeeded_names_its_guests_and_keeps_the_condition(
    browser: Client, deployed: Testbed
):
    Testbed.objects.update(condition=Testbed.Condition.PARTIAL)
    browser.post(PAGE, {"mode": "up", "selection": "web"})
    run = Run.objects.get()
    Task.objects.filter(instruction__run=run).update(status="done")

    finish_run(run.pk, Run.Status.SUCCEEDED)

    run.refresh_from_db()
    deployed.refresh_from_db()
    assert run.message == "1 guest up: web."
    assert deployed.condition == Testbed.Condition.PARTIAL
    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())
    assert "Up succeeded." in page
    assert "Resume" not in page


def test_run_that_failed_leaves_a_partial_testbed_and_offers_another(
    browser: Client, deployed: Testbed
):
    browser.post(PAGE, {"mode": "up", "selection": "web"})
    run = Run.objects.get()
    start = Task.objects.filter(instruction__run=run, instruction__kind="start-guests")
    start.update(status="failed", message="No memory.", seconds=1.0)

    finish_run(run.pk, Run.Status.FAILED)

    deployed.refresh_from_db()
    assert deployed.condition == Testbed.Condition.PARTIAL
    page = squeezed(browser.get(f"/runs/{run.pk}/").content.decode())
    assert "No memory." in visible(page)
    assert f'action="{PAGE}"' in page
    assert 'name="mode" value="up"' in page
