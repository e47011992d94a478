"""Group snapshots on the page of a testbed's snapshots: view, questions, JSON, YAML."""

from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pydantic import TypeAdapter

from orchestration.plan.model import Command
from orchestration.project import groups
from orchestration.project.groups import GroupRecord, Standstill
from orchestration.providers.libvirt.snapshots.text import Label, Snapshot
from testbed.models import Protection, Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import squeezed, visible
from tests.testbed.views.guests.test_snapshots import (
    BASE,
    JSON,
    OFF,
    PAGE,
    deployed,
    kinds,
    program,
    shown,
    token,
)

__all__ = ["deployed"]
OF_GROUP = replace(BASE, name="all", label=Label("olive", group=2))
HOSTS = {"web": "main", "db": "host-b"}
RECORD = GroupRecord(
    name="all",
    skew_s=0.0123,
    guests=(
        Standstill(guest="web", host="main", seconds=0.41, after_s=0.002),
        Standstill(guest="db", host="host-b", seconds=0.52, after_s=0.0123),
    ),
)


def put(testbed: Testbed, guest: str, *found: Snapshot) -> None:
    adapter = TypeAdapter(tuple[Snapshot, ...])
    testbed.observed_snapshots.create(
        name=guest,
        host=HOSTS[guest],
        signature="",
        snapshots=adapter.dump_python(found, mode="json"),
        read_at=timezone.now(),
        observed_at=timezone.now(),
    )


@pytest.fixture(name="whole")
def _whole(deployed: Testbed) -> Testbed:
    """Both guests are in group snapshot `all`; `web` has another one, too."""
    later = replace(OFF, name="own", parent="all", created_at=BASE.created_at + 60)
    put(deployed, "web", OF_GROUP, later)
    put(deployed, "db", OF_GROUP)
    record = RECORD.model_copy(update={"compose": groups.compose_of(deployed.project)})
    groups.write_record(deployed.project, record)
    return deployed


def edit(testbed: Testbed) -> str:
    before = testbed.project.yaml.read_text()
    testbed.project.yaml.write_text(f"{before}# <b>edited</b>\n")
    return before


def test_group_stands_beside_the_trees_with_its_standstills(
    browser: Client, whole: Testbed
):
    page = shown(browser)
    words = visible(page)

    assert 'id="group-all"' in page
    assert "2 guests with 194.0 MiB of memory" in words
    assert "stood still for at most 0.52 s; all stopped within 12 ms" in words
    assert "db host-b 0.012 s 0.520 s" in words
    assert words.count("of a group snapshot") == 2
    assert "All guests at one moment" in words
    assert "another YAML" not in words
    assert 'id="group-snapshots"' not in shown(browser, f"{PAGE}?guest=web")


def test_groups_are_in_pages_of_their_own(browser: Client, deployed: Testbed):
    many = [
        replace(OF_GROUP, name=f"all-{n:02}", created_at=BASE.created_at + n)
        for n in range(51)
    ]
    for guest in HOSTS:
        put(deployed, guest, *many)

    first = shown(browser)
    second = browser.get(f"{PAGE}?groups=2").content.decode()

    assert (first.count('id="group-all-'), second.count('id="group-all-')) == (50, 1)
    assert f'href="{PAGE}?groups=2"' in squeezed(first)
    assert f'hx-get="{PAGE}?groups=2&amp;page=1"' in squeezed(second)
    assert "50 of 51" in visible(first)
    assert len(browser.get(PAGE, headers=JSON).json()["groups"]) == 51


def test_group_that_is_not_whole_cannot_be_restored(browser: Client, deployed: Testbed):
    put(deployed, "web", replace(OF_GROUP, label=Label("olive", group=3)))

    page = shown(browser)
    words = visible(page)

    assert "not whole" in words
    assert "without db" in words
    assert "2 guests of then are gone" in words
    assert 'aria-label="Restore group snapshot all…"' not in page
    assert 'aria-label="Delete group snapshot all…"' in page


def test_button_takes_one_of_all(
    browser: Client, deployed: Testbed, caplog: pytest.LogCaptureFixture
):
    wish = {"verb": "create", "guest": "@all", "name": "all", "description": "words"}
    with caplog.at_level("INFO"):
        answer = browser.post(PAGE, wish)

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert run.title == "Take group snapshot all"
    assert run.is_exclusive
    assert kinds(run) == ["create-group-snapshot", "end"]
    assert run.plan["instructions"][0]["title"].endswith("all of 2 guests")
    assert "act snapshot by olive on lab: Take group snapshot all" in caplog.text


def test_restore_asks_names_all_and_offers_to_keep_the_present_state(
    browser: Client, whole: Testbed
):
    edit(whole)
    wish = {"verb": "restore", "guest": "@all", "name": "all"}
    question = browser.post(PAGE, wish)
    assert not Run.objects.exists()
    sure = wish | {"confirm": token(browser, wish), "keep": "on", "before": "now"}
    answer = browser.post(PAGE, sure)

    words = visible(question.content.decode())
    assert "Restore group snapshot all?" in words
    assert "web on main: all of" in words
    assert "The YAML of then differs" in words
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert kinds(run) == ["create-group-snapshot", "restore-group-snapshot", "end"]
    assert run.options["leaves"] == {"web": "running", "db": "running"}


def test_latest_of_each_is_restored(browser: Client, whole: Testbed):
    wish = {"verb": "restore", "guest": "@all", "name": ""}
    question = visible(browser.post(PAGE, wish).content.decode())
    browser.post(PAGE, wish | {"confirm": token(browser, wish)})

    assert "Restore each guest's latest snapshot?" in question
    assert "web on main: own of" in question
    assert "db on host-b: all of" in question
    run = Run.objects.get()
    assert kinds(run) == ["restore-group-snapshot", "end"]
    assert run.title == "Restore the latest snapshot"
    assert run.plan["snapshot"]["latest"] == {"web": "own", "db": "all"}
    then = BASE.created_at
    assert run.plan["snapshot"]["taken"] == {"web": then + 60, "db": then}
    assert run.options["leaves"] == {"web": "shut off", "db": "running"}


def test_guest_that_a_group_restore_left_off_is_off_by_request(
    browser: Client, whole: Testbed
):
    wish = {"verb": "restore", "guest": "@all", "name": ""}
    browser.post(PAGE, wish | {"confirm": token(browser, wish)})
    run = Run.objects.get()
    Task.objects.filter(instruction__run=run).update(status="done")
    finish_run(run.pk, Run.Status.SUCCEEDED)
    whole.observed_guests.filter(name="web").update(status="shut off")

    assert "by request" in visible(shown(browser, "/testbeds/olive/lab/"))


def test_deletion_asks_and_forgets(browser: Client, whole: Testbed):
    wish = {"verb": "delete", "guest": "@all", "name": "all"}
    question = visible(browser.post(PAGE, wish).content.decode())
    browser.post(PAGE, wish | {"confirm": token(browser, wish)})

    assert "194.0 MiB of memory are erased" in question
    assert kinds(Run.objects.get()) == [
        "delete-snapshots",
        "forget-group-snapshot",
        "end",
    ]


@pytest.mark.parametrize(("role", "status"), [("operator", 403), ("editor", 200)])
def test_deletion_and_yaml_are_for_editors(
    client: Client, whole: Testbed, share: ShareWith, role: str, status: int
):
    edit(whole)
    client.force_login(share(whole, role))

    page = client.get(PAGE).content.decode()

    for verb in ("delete", "put-yaml-back"):
        wish = {"verb": verb, "guest": "@all", "name": "all"}
        assert client.post(PAGE, wish).status_code == status
        assert (f'value="{verb}"' in page) is (status == 200)
    assert 'aria-label="Restore group snapshot all…"' in page


def test_viewer_sees_groups_and_acts_on_none(
    client: Client, whole: Testbed, share: ShareWith
):
    client.force_login(share(whole, "viewer"))

    assert 'id="group-all"' in client.get(PAGE).content.decode()
    for verb in ("create", "restore", "delete", "put-yaml-back"):
        wish = {"verb": verb, "guest": "@all", "name": "all"}
        assert client.post(PAGE, wish).status_code == 403
    assert not Run.objects.exists()


def test_stranger_finds_nothing(client: Client, stranger: User, whole: Testbed):
    client.force_login(stranger)

    wish = {"verb": "create", "guest": "@all", "name": "a"}
    assert client.post(PAGE, wish).status_code == 404


def test_protected_guest_keeps_its_snapshot_of_the_group(
    browser: Client, whole: Testbed, owner: User
):
    Protection.objects.create(testbed=whole, guest="db", set_by=owner)
    wish = {"verb": "delete", "guest": "@all", "name": "all"}

    answer = browser.post(PAGE, wish)

    assert answer.status_code == 423
    assert "Guest db is protected" in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_yaml_of_then_is_shown_and_put_back(browser: Client, whole: Testbed):
    before = edit(whole)
    now = whole.project.yaml.read_text()
    assert "another YAML" in visible(shown(browser))
    wish = {"verb": "put-yaml-back", "guest": "@all", "name": "all"}

    question = browser.post(PAGE, wish).content.decode()
    assert whole.project.yaml.read_text() == now
    answer = browser.post(PAGE, wish | {"confirm": token(browser, wish)})

    assert "-# &lt;b&gt;edited&lt;/b&gt;" in question
    assert answer["Location"] == "/testbeds/olive/lab/"
    assert whole.project.yaml.read_text() == before
    kept = whole.project.files / "kvm-compose.before-all.yaml"
    assert kept.read_text() == now


def test_yaml_is_not_exchanged_under_a_run(
    browser: Client, whole: Testbed, owner: User
):
    edit(whole)
    now = whole.project.yaml.read_text()
    wish = {"verb": "put-yaml-back", "guest": "@all", "name": "all"}
    sure = wish | {"confirm": token(browser, wish)}
    create_run(whole, owner, Command.GENERATE_ARTEFACTS)

    answer = browser.post(PAGE, sure)

    assert answer.status_code == 409
    assert whole.project.yaml.read_text() == now


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"verb": "rename", "name": "all", "title": "x"}, "keeps its name"),
        ({"verb": "create", "name": "1"}, "cannot be named 1"),
        ({"verb": "restore", "name": "no"}, "had no group snapshot no at the last"),
        ({"verb": "restore", "name": "own"}, "had no group snapshot own at the last"),
        ({"verb": "put-yaml-back", "name": ""}, "is not known"),
    ],
)
def test_refusal_is_a_sentence_and_makes_no_run(
    browser: Client, whole: Testbed, wish: dict[str, str], sentence: str
):
    wish = {"guest": "@all", **wish}
    sure = {} if wish["name"] else {"confirm": token(browser, wish)}

    answer = browser.post(PAGE, wish | sure)

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"verb": "restore", "name": "all"}, "the present states of web and db"),
        ({"verb": "restore", "name": ""}, "the present states of web and db"),
        ({"verb": "delete", "name": "all"}, "2 snapshots, the YAML of all (194.0 MiB)"),
        ({"verb": "delete", "name": "new"}, "2 snapshots"),
        ({"verb": "restore", "name": "new"}, "the present states of web and db"),
    ],
)
def test_program_confirms_what_dies_on_all_guests(
    browser: Client, whole: Testbed, wish: dict[str, object], sentence: str
):
    wish = {"guest": "@all", **wish}

    refused = program(browser, wish)
    assert not Run.objects.exists()
    confirm = refused.json()["erases"]["confirm"]
    started = program(browser, wish | {"confirm": confirm})

    assert refused.status_code == 428
    assert refused.json()["error"] == f"This erases {sentence}."
    assert started.json()["run"] == Run.objects.get().pk


def test_latest_that_no_look_saw_cannot_be_named(browser: Client, deployed: Testbed):
    answer = program(browser, {"guest": "@all", "verb": "restore", "name": ""})

    assert answer.status_code == 422
    assert "had no snapshot at the last look" in answer.json()["error"]


def test_program_that_keeps_the_present_state_is_not_asked(
    browser: Client, whole: Testbed
):
    found = browser.get(PAGE, headers=JSON).json()
    wish = {"verb": "restore", "guest": "@all", "name": "all", "before": "now"}
    started = program(browser, wish).json()

    (group,) = found["groups"]
    assert (group["name"], group["whole"], group["missing"]) == ("all", True, [])
    assert group["skew_ms"] == 12.3
    assert group["standstills"][1] == {
        "guest": "db",
        "host": "host-b",
        "seconds": 0.52,
    }
    assert all(guest["snapshots"][0]["group"] for guest in found["guests"])
    assert [one["kind"] for one in started["instructions"]] == [
        "create-group-snapshot",
        "restore-group-snapshot",
        "end",
    ]
