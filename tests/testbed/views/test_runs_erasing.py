"""A run erases disks only when what dies was confirmed: by a person who typed the name of
the testbed, or by a program that sent the token of the list."""

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import Host, Inventory, Run, Testbed
from tests.testbed.confirming import answered
from tests.testbed.conftest import Doors
from tests.testbed.preparing import prepare
from tests.testbed.reading import visible

RUNS = "/testbeds/olive/lab/runs/"
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def deployed(testbed: Testbed, doors: Doors) -> Testbed:
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


def started(answer: HttpResponse) -> bool:
    """Whether the answer leads to the only run."""
    return answer["Location"] == f"/runs/{Run.objects.get().pk}/"


def test_removed_guest_is_named_and_nothing_runs_before_the_answer(
    browser: Client, deployed: Testbed
):
    edit(deployed, "name: db", "name: store")

    question = browser.post(RUNS, {"command": "up"})

    text = visible(question.content.decode())
    assert question.status_code == 200
    assert "Erase 1 disk of lab?" in text
    assert "db on host-b" in text
    assert "web on" not in text
    assert not Run.objects.exists()
    assert started(answered(browser, question, "lab"))


def test_disk_is_shown_with_its_size_and_the_time_of_the_look(browser: Client):
    disks = {"lab": {"web-disk.qcow2": 5 << 20}, "other": {"web-disk.qcow2": 1}}
    Inventory.objects.create(
        host=Host.objects.get(name="main"), disks=disks, looked_at=timezone.now()
    )

    question = browser.post(RUNS, {"command": "up", "provision": "on"})

    text = visible(question.content.decode())
    assert "5.0 MiB updated just now" in text
    assert "web on main all disks are recreated 5.0 MiB" in text
    assert "db on host-b all disks are recreated size not seen" in text


@pytest.mark.parametrize("typed", ["", "Lab", "web"])
def test_wrong_name_erases_nothing_and_says_so(browser: Client, typed: str):
    question = browser.post(RUNS, {"command": "up", "provision": "on"})

    again = answered(browser, question, typed)

    assert again.status_code == 422
    assert "The name was not typed as it is: lab." in again.content.decode()
    assert not Run.objects.exists()


def test_recreated_disks_are_all_named_and_the_options_are_kept(browser: Client):
    options = {"provision": "on", "rerun_scripts": "on"}

    question = browser.post(RUNS, {"command": "up", **options})
    answered(browser, question, "lab")

    assert "Erase 2 disks of lab?" in question.content.decode()
    assert Run.objects.get().options == {"provision": True, "rerun_scripts": True}


def test_answer_does_not_count_for_what_was_edited_since(
    browser: Client, deployed: Testbed
):
    edit(deployed, "name: db", "name: store")
    question = browser.post(RUNS, {"command": "up"})
    edit(deployed, "name: web", "name: shop")

    again = answered(browser, question, "lab")

    text = again.content.decode()
    assert "The list has changed since you were asked." in text
    assert "Erase 2 disks of lab?" in text
    assert not Run.objects.exists()


def test_answer_to_one_command_does_not_count_for_another(browser: Client):
    question = browser.post(RUNS, {"command": "clear-artefacts"}, headers=JSON)
    confirm = question.json()["erases"]["confirm"]
    wish = {"command": "up", "provision": "on", "confirm": confirm}

    assert browser.post(RUNS, wish, headers=JSON).status_code == 428
    assert not Run.objects.exists()


def test_refused_command_leaves_the_state_as_it_was(browser: Client, deployed: Testbed):
    before = deployed.project.read_state()
    edit(deployed, "name: db", "name: store")

    browser.post(RUNS, {"command": "up"}, headers=JSON)

    assert deployed.project.read_state() == before
    assert not deployed.project.has_unfinished_change()


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("memory_mb: 256", "memory_mb: 512")]
)
def test_up_that_erases_nothing_asks_nothing(
    browser: Client, deployed: Testbed, old: str, new: str
):
    edit(deployed, old, new)

    assert started(browser.post(RUNS, {"command": "up"}))


def test_guest_without_a_disk_yet_is_removed_without_a_question(
    browser: Client, deployed: Testbed
):
    deployed.project.mark("db", disk="")
    edit(deployed, "name: db", "name: store")

    assert browser.post(RUNS, {"command": "up"}).status_code == 302


@pytest.mark.parametrize(
    "wish", [{"command": "up", "provision": "on"}, {"command": "clear-artefacts"}]
)
def test_program_is_told_what_dies_and_confirms_it(
    browser: Client, wish: dict[str, str]
):
    refusal = browser.post(RUNS, wish, headers=JSON)
    assert not Run.objects.exists()
    erases = refusal.json()["erases"]
    answer = browser.post(RUNS, {**wish, "confirm": erases["confirm"]}, headers=JSON)

    assert refusal.status_code == 428
    error = "This erases the disks of web and db."
    assert refusal.json()["error"] == error
    places = [(loss["sort"], loss["name"], loss["host"]) for loss in erases["losses"]]
    assert places == [("disk", "web", "main"), ("disk", "db", "host-b")]
    assert erases["must_type"] == "lab"
    assert answer.json()["run"] == Run.objects.get().pk


def test_program_that_saw_an_older_list_is_refused_with_the_present_one(
    browser: Client, deployed: Testbed
):
    wish = {"command": "up", "provision": "on"}
    confirm = browser.post(RUNS, wish, headers=JSON).json()["erases"]["confirm"]
    # The disk was made anew meanwhile.
    deployed.project.mark("web", disk="ubuntu_22_04 of tomorrow")

    refusal = browser.post(RUNS, {**wish, "confirm": confirm}, headers=JSON)

    assert refusal.status_code == 428
    assert refusal.json()["error"].startswith("The list is not the one that")
    assert refusal.json()["erases"]["confirm"] != confirm
    assert not Run.objects.exists()


def test_stranger_learns_nothing_of_the_disks(client: Client, stranger: User):
    client.force_login(stranger)

    answer = client.post(RUNS, {"command": "clear-artefacts"}, headers=JSON)

    assert answer.status_code == 404
    assert "web" not in answer.content.decode()
