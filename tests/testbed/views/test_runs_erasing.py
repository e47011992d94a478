"""Up asks before it erases disks: the question names each guest, and its answer counts
for these guests only."""

import re

import pytest
from django.http import HttpResponse
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Run, Testbed
from testbed.testbeds.planning import prepare
from tests.testbed.conftest import Doors
from tests.testbed.reading import visible

RUNS = "/testbeds/lab/runs/"


@pytest.fixture
def deployed(testbed: Testbed) -> Testbed:
    """The testbed, up, with a disk of each guest."""
    prepare(testbed, Command.UP, Options())
    for name in ("web", "db"):
        testbed.project.mark(name, disk="ubuntu_22_04 of today")
    Testbed.objects.update(condition=Testbed.Condition.UP)
    testbed.refresh_from_db()
    return testbed


def edit(testbed: Testbed, old: str, new: str) -> None:
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace(old, new))


def answered(browser: Client, question: HttpResponse) -> HttpResponse:
    """Send the form of the question, as its button does."""
    hidden = r'<input type="hidden" name="(\w+)" value="(\w+)">'
    fields = dict(re.findall(hidden, question.content.decode()))
    fields.pop("csrfmiddlewaretoken", None)
    return browser.post(RUNS, {**fields, "command": "up"})


def test_removed_guest_is_named_and_nothing_runs_before_the_answer(
    browser: Client, deployed: Testbed, doors: Doors
):
    edit(deployed, "name: db", "name: store")

    question = browser.post(RUNS, {"command": "up"})

    text = visible(question.content.decode())
    assert question.status_code == 200
    assert "Erase 1 disk of lab?" in text
    assert "db on host-b" in text
    assert "web on" not in text
    assert not Run.objects.exists()
    assert answered(browser, question)["Location"] == f"/runs/{Run.objects.get().pk}/"


def test_recreated_disks_are_all_named_and_the_options_are_kept(
    browser: Client, deployed: Testbed, doors: Doors
):
    options = {"provision": "on", "rerun_scripts": "on"}

    question = browser.post(RUNS, {"command": "up", **options})
    answered(browser, question)

    assert "Erase 2 disks of lab?" in question.content.decode()
    assert Run.objects.get().options == {"provision": True, "rerun_scripts": True}


def test_answer_does_not_count_for_what_was_edited_since(
    browser: Client, deployed: Testbed, doors: Doors
):
    edit(deployed, "name: db", "name: store")
    question = browser.post(RUNS, {"command": "up"})
    edit(deployed, "name: web", "name: shop")

    again = answered(browser, question)

    assert "Erase 2 disks of lab?" in again.content.decode()
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("memory_mb: 256", "memory_mb: 512")]
)
def test_up_that_erases_nothing_asks_nothing(
    browser: Client, deployed: Testbed, doors: Doors, old: str, new: str
):
    edit(deployed, old, new)

    answer = browser.post(RUNS, {"command": "up"})

    assert answer["Location"] == f"/runs/{Run.objects.get().pk}/"


def test_guest_without_a_disk_yet_is_removed_without_a_question(
    browser: Client, deployed: Testbed, doors: Doors
):
    deployed.project.mark("db", disk="")
    edit(deployed, "name: db", "name: store")

    assert browser.post(RUNS, {"command": "up"}).status_code == 302


def test_programs_are_not_asked(browser: Client, deployed: Testbed, doors: Doors):
    edit(deployed, "name: db", "name: store")

    answer = browser.post(
        RUNS, {"command": "up"}, headers={"Accept": "application/json"}
    )

    assert answer.json()["run"] == Run.objects.get().pk
