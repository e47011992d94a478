"""The page of a testbed's snapshots: trees, questions, refusals, and JSON."""

from dataclasses import replace
from datetime import timedelta
from time import process_time

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pydantic import TypeAdapter

from orchestration.plan.model import Command
from orchestration.project.snapshots import KeptRecord, keep
from orchestration.providers.libvirt.snapshots import text
from orchestration.providers.libvirt.snapshots.text import Label, Snapshot
from testbed.access.visibility import PAGE_SIZE
from testbed.models import ObservedSnapshots, Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from tests.testbed.confirming import HIDDEN
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/snapshots/"
JSON = {"Accept": "application/json"}
HOSTILE = "<script>alert(1)</script>"
BASE = Snapshot(
    name="base",
    description="before the attack",
    label=Label("olive"),
    parent="",
    status="running",
    has_memory=True,
    is_external=False,
    created_at=1795808478,
    memory_bytes=97 << 20,
)
OFF = replace(BASE, name="off", status="shut off", has_memory=False, memory_bytes=0)


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.observed_at = timezone.now()
    generated.save()
    for name, host in (("web", "main"), ("db", "host-b")):
        generated.observed_guests.create(
            name=name, host=host, status="running", observed_at=timezone.now()
        )
    return generated


@pytest.fixture
def seen(deployed: Testbed) -> ObservedSnapshots:
    """Guest web had a tree with two branches at the last look."""
    return put(
        deployed,
        BASE,
        replace(BASE, name="one", parent="base", label=Label("olive", "First try")),
        replace(
            BASE, name="by-virsh", parent="one", label=Label(), description=HOSTILE
        ),
        replace(OFF, name="two", parent="base", is_current=True),
    )


def put(testbed: Testbed, *found: Snapshot) -> ObservedSnapshots:
    adapter = TypeAdapter(tuple[Snapshot, ...])
    return testbed.observed_snapshots.create(
        name="web",
        host="main",
        signature="",
        snapshots=adapter.dump_python(found, mode="json"),
        disk_bytes=350 << 20,
        read_at=timezone.now(),
        observed_at=timezone.now(),
    )


def token(browser: Client, wish: dict[str, str]) -> str:
    """Return the token in the question about an act."""
    question = browser.post(PAGE, {k: v for k, v in wish.items() if k != "keep"})
    assert question.status_code == 200
    return dict(HIDDEN.findall(question.content.decode()))["confirm"]


def program(browser: Client, wish: dict[str, object]):
    return browser.post(PAGE, wish, content_type="application/json")


def shown(client: Client, page: str = PAGE) -> str:
    answer = client.get(page)
    assert answer.status_code == 200
    return squeezed(answer.content.decode())


def kinds(run: Run) -> list[str]:
    return [entry["kind"] for entry in run.plan["instructions"]]


def test_tree_has_each_snapshot_after_its_parent(browser: Client, seen: object):
    page = shown(browser)
    words = visible(page)

    places = [words.index(n) for n in ("base", "First try", "by-virsh", "two")]
    assert places == sorted(places)
    assert page.count("tree__row--0") == 1
    assert page.count("tree__row--1") == 2
    assert page.count("tree__row--2") == 1
    assert "current" in words
    assert "in virsh one" in words
    assert "made outside" in words
    assert "its disk takes 350.0 MiB with its snapshots" in words
    assert "97.0 MiB of memory" in words
    assert "off, the disk alone" in words
    assert "updated just now" in words
    assert HOSTILE not in page


def test_siblings_stand_in_the_order_of_their_time(browser: Client, deployed: Testbed):
    later = replace(BASE, name="a-later", parent="base", created_at=1795808500)
    put(deployed, later, BASE, replace(BASE, name="b-sooner", parent="base"))

    (web,) = browser.get(f"{PAGE}?guest=web", headers=JSON).json()["guests"]

    names = [one["name"] for one in web["snapshots"]]
    assert names == ["base", "b-sooner", "a-later"]


def test_long_chain_is_folded_and_paged(browser: Client, deployed: Testbed):
    chain = [replace(OFF, name="s0")]
    chain += [replace(OFF, name=f"s{i}", parent=f"s{i - 1}") for i in range(1, 3000)]
    put(deployed, *chain)

    began = process_time()
    all_guests = shown(browser)
    took_s = process_time() - began
    own = shown(browser, f"{PAGE}?guest=web")
    last = shown(browser, f"{PAGE}?guest=web&page=999")

    assert all_guests.count('class="tree__row ') == 50
    assert "All 3000 snapshots of web" in visible(all_guests)
    assert own.count('class="tree__row ') == PAGE_SIZE
    assert f"{PAGE_SIZE} of 3000" in visible(own)
    assert "s2999" in visible(last)
    assert took_s < 2  # 4.4 s when each node walked all below it
    (web,) = browser.get(f"{PAGE}?guest=web", headers=JSON).json()["guests"]
    assert [one["name"] for one in web["snapshots"]] == [one.name for one in chain]


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63)])
def test_time_that_no_calendar_has_is_shown(
    browser: Client, deployed: Testbed, seconds: int
):
    put(deployed, replace(BASE, label=Label("olive", group=1), created_at=seconds))

    page = shown(browser)

    assert ("31 Dec 9999" if seconds > 0 else "1 Jan 1970") in page


def test_guest_leads_to_its_snapshots_and_back(browser: Client, seen: object):
    guest = shown(browser, "/testbeds/olive/lab/guests/web/")

    assert "/testbeds/olive/lab/snapshots/?guest=web" in guest
    assert "4 snapshots" in visible(guest)
    assert 'href="/testbeds/olive/lab/snapshots/"' in shown(
        browser, "/testbeds/olive/lab/"
    )
    own = shown(browser, f"{PAGE}?guest=web")
    assert 'id="of-web"' in own
    assert 'id="of-db"' not in own


def test_number_of_queries_does_not_grow(browser: Client, seen: ObservedSnapshots):
    with CaptureQueriesContext(connection) as few:
        shown(browser)
    rows = seen.snapshots
    seen.snapshots = [
        {**row, "name": f"{row['name']}{i}"} for row in rows for i in "abc"
    ]
    seen.save()
    with CaptureQueriesContext(connection) as more:
        shown(browser)

    assert len(more) == len(few)


def test_kept_snapshots_of_a_guest_that_is_down(browser: Client, deployed: Testbed):
    deployed.observed_guests.all().delete()
    record = text.build("base", "words", Label("olive"))
    sizes = {"base": 97 << 20}
    kept = KeptRecord(texts=(record,), current="base", memory_bytes=sizes)
    keep(deployed.project, "web", kept)

    page = shown(browser)
    (web, _) = browser.get(PAGE, headers=JSON).json()["guests"]

    assert "Its disk keeps these" in visible(page)
    assert 'value="restore"' not in page
    assert web["snapshots"][0]["memory_bytes"] == 97 << 20
    assert web["snapshots"][0]["current"] is True


@pytest.mark.parametrize("content", [b'{"current": "", "texts": ["<no"]}', b"[]"])
def test_kept_record_that_cannot_be_read_breaks_no_page(
    browser: Client, deployed: Testbed, content: bytes
):
    deployed.project.mark("web", disk="image")
    keep(deployed.project, "web", KeptRecord(texts=("<a/>",)))
    (deployed.project.snapshots / "web.json").write_bytes(content)

    assert "no snapshot" in visible(shown(browser))
    question = browser.get("/testbeds/olive/lab/disks/delete/")
    assert "web on main" in visible(squeezed(question.content.decode()))


def test_mixed_chain_offers_no_act_that_it_cannot_take(
    browser: Client, deployed: Testbed
):
    put(deployed, BASE, replace(BASE, name="x", label=Label(), is_external=True))

    page = shown(browser)

    assert "Another program made external snapshots" in visible(page)
    assert 'value="restore"' not in page
    assert 'value="delete"' not in page
    assert 'value="rename"' in page


def test_run_that_ended_after_the_look_is_named(
    browser: Client, deployed: Testbed, owner: User
):
    browser.post(PAGE, {"verb": "create", "guest": "web", "name": "base"})
    run = Run.objects.get()
    finish_run(run.pk, Run.Status.SUCCEEDED)

    assert "before Take snapshot base ended" in visible(shown(browser))


def test_button_takes_a_snapshot(browser: Client, caplog: pytest.LogCaptureFixture):
    wish = {"verb": "create", "guest": "web", "name": "base", "description": "words"}
    with caplog.at_level("INFO"):
        answer = browser.post(PAGE, wish)

    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert (run.command, run.title) == ("snapshot", "Take snapshot base")
    assert run.is_exclusive
    assert kinds(run) == ["create-snapshots", "end"]
    assert run.plan["snapshot"]["by"] == "olive"
    assert run.plan["snapshot"]["description"] == "words"
    assert list(Task.objects.values_list("resource", "host")) == [("web", "main")]
    assert "act snapshot by olive on lab: Take snapshot base of web" in caplog.text


def test_restore_asks_and_offers_to_keep_the_present_state(
    browser: Client, deployed: Testbed, seen: object
):
    wish = {"verb": "restore", "guest": "web", "name": "base"}
    question = browser.post(PAGE, wish)
    assert not Run.objects.exists()
    sure = wish | {"confirm": token(browser, wish), "keep": "on", "before": "now"}
    answer = browser.post(PAGE, sure)

    words = visible(question.content.decode())
    assert question.status_code == 200
    assert "The present state of web on main is lost" in words
    assert "since two ," in words or "since two," in words
    assert "the disk takes 350.0 MiB" in words
    assert "checked" in question.content.decode()
    run = Run.objects.get()
    assert answer["Location"] == f"/runs/{run.pk}/"
    assert kinds(run) == ["create-snapshots", "restore-snapshots", "end"]
    assert run.options["leaves"] == {"web": "running"}
    assert run.plan["snapshot"]["taken"] == {"web": BASE.created_at}


def test_program_restores_what_was_taken_again_before_a_look(
    browser: Client, owner: User, seen: ObservedSnapshots, deployed: Testbed
):
    again = create_run(deployed, owner, Command.DOWN)
    finish_run(again.pk, Run.Status.FAILED)

    wish = {"verb": "restore", "guest": "web", "name": "base", "before": "now"}
    started = program(browser, wish)

    assert started.status_code == 200, started.content
    assert Run.objects.first().plan["snapshot"]["taken"] == {}


def test_restore_without_keeping_is_one_instruction(
    browser: Client, deployed: Testbed, seen: object
):
    wish = {"verb": "restore", "guest": "web", "name": "two", "before": "now"}

    browser.post(PAGE, wish | {"confirm": token(browser, wish)})

    run = Run.objects.get()
    assert kinds(run) == ["restore-snapshots", "end"]
    assert run.options["leaves"] == {"web": "shut off"}


def test_present_state_that_is_to_be_kept_needs_a_name(
    browser: Client, deployed: Testbed, seen: object
):
    wish = {"verb": "restore", "guest": "web", "name": "base", "keep": "on"}

    answer = browser.post(PAGE, wish | {"before": " ", "confirm": token(browser, wish)})

    assert answer.status_code == 422
    assert "present state has no name" in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_deletion_names_what_goes(browser: Client, deployed: Testbed, seen: object):
    wish = {"verb": "delete", "guest": "web", "name": "base"}
    question = browser.post(PAGE, wish)
    sure = wish | {"confirm": token(browser, wish), "children": "1"}
    browser.post(PAGE, sure)

    words = visible(question.content.decode())
    for name in ("First try", "by-virsh", "two"):
        assert name in words
    assert "Delete it and 3 below it" in words
    run = Run.objects.get()
    assert run.plan["snapshot"]["children"] is True
    assert run.title == "Delete snapshot base and its children"


@pytest.mark.parametrize(("role", "status"), [("operator", 403), ("editor", 200)])
def test_deletion_is_for_editors(
    client: Client,
    deployed: Testbed,
    seen: object,
    share: ShareWith,
    role: str,
    status: int,
):
    client.force_login(share(deployed, role))

    page = client.get(PAGE).content.decode()
    answer = client.post(PAGE, {"verb": "delete", "guest": "web", "name": "base"})

    assert answer.status_code == status
    assert ('value="delete"' in page) is (status == 200)
    assert 'value="restore"' in page


def test_answer_for_another_tree_is_asked_again(
    browser: Client, deployed: Testbed, seen: ObservedSnapshots
):
    sure = {"verb": "delete", "guest": "web", "name": "base", "children": "1"}
    sure |= {"confirm": token(browser, sure)}
    adapter = TypeAdapter(Snapshot)
    new = replace(BASE, name="new", parent="base")
    seen.snapshots = [*seen.snapshots, adapter.dump_python(new, mode="json")]
    seen.save()

    answer = browser.post(PAGE, sure)

    assert answer.status_code == 200
    assert "The list has changed" in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_rename_asks_for_the_name(browser: Client, seen: object):
    wish = {"verb": "rename", "guest": "web", "name": "base"}
    question = browser.post(PAGE, wish)
    browser.post(PAGE, wish | {"title": "Set up"})

    assert 'value="base"' in question.content.decode()
    run = Run.objects.get()
    assert run.plan["snapshot"]["title"] == "Set up"


def test_name_with_a_space_is_not_taken_for_another(browser: Client, deployed: Testbed):
    put(deployed, BASE, replace(BASE, name=" base", label=Label()))
    wish = {"verb": "delete", "guest": "web", "name": " base"}

    browser.post(PAGE, wish | {"confirm": token(browser, wish)})

    assert Run.objects.get().plan["snapshot"]["name"] == " base"


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"verb": "x", "guest": "web"}, "Nothing is called x for a snapshot"),
        ({"verb": "create", "guest": "web", "name": "1"}, "cannot be named 1"),
        (
            {"verb": "create", "guest": "no", "name": "a"},
            "There is no guest no in this testbed",
        ),
        ({"verb": "create", "guest": "w*", "name": "a"}, "is of one guest"),
        (
            {"verb": "restore", "guest": "web", "name": "no"},
            "web had no snapshot no at the last look.",
        ),
    ],
)
def test_refusal_is_a_sentence_and_makes_no_run(
    browser: Client, seen: object, wish: dict[str, str], sentence: str
):
    answer = browser.post(PAGE, wish)

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())
    assert not Run.objects.exists()


def test_act_beside_another_run_is_refused(
    browser: Client, deployed: Testbed, owner: User, seen: object
):
    create_run(deployed, owner, Command.UP)

    for wish in ({"verb": "create", "name": "a"}, {"verb": "restore", "name": "base"}):
        answer = browser.post(PAGE, {"guest": "web", **wish})
        assert answer.status_code == 409
        assert "has been running up" in visible(answer.content.decode())
    page = shown(browser)
    assert 'id="busy"' in page
    assert "disabled" in page


def test_testbed_that_is_not_up_takes_no_act(browser: Client, deployed: Testbed):
    deployed.condition = Testbed.Condition.DOWN
    deployed.save()

    answer = browser.post(PAGE, {"verb": "create", "guest": "web", "name": "a"})

    assert answer.status_code == 422
    assert "is not up" in visible(answer.content.decode())
    assert 'value="create"' not in shown(browser)


def test_stranger_finds_nothing(client: Client, stranger: User, seen: object):
    client.force_login(stranger)

    assert client.get(PAGE).status_code == 404
    wish = {"verb": "create", "guest": "web", "name": "a"}
    assert client.post(PAGE, wish).status_code == 404


@pytest.mark.parametrize("guest", ["no", "a/b", "../web", "\0"])
def test_guest_that_is_not_there_is_not_found(browser: Client, guest: str):
    assert browser.get(PAGE, {"guest": guest}).status_code == 404


def test_program_that_renames_to_nothing_is_refused_as_json(
    browser: Client, seen: object
):
    wish = {"verb": "rename", "guest": "web", "name": "base"}

    answer = browser.post(PAGE, wish, content_type="application/json")

    assert answer.status_code == 422
    assert answer.json()["error"] == "The new name is empty."


@pytest.mark.parametrize("verb", ["delete", "restore"])
def test_program_names_an_unseen_snapshot_only_after_a_run(
    browser: Client, seen: object, deployed: Testbed, owner: User, verb: str
):
    wish = {"guest": "web", "verb": verb, "name": "new"}
    Testbed.objects.filter(pk=deployed.pk).update(observed_at=timezone.now())

    refused = program(browser, wish)
    Run.objects.create(
        testbed=deployed,
        command="snapshot",
        plan={},
        asked_by=owner,
        status="succeeded",
        ended_at=timezone.now(),
    )
    asked = program(browser, wish)

    assert refused.status_code == 422
    assert refused.json()["error"] == "web had no snapshot new at the last look."
    assert asked.status_code == 428
    (loss,) = asked.json()["erases"]["losses"]
    unseen = "snapshot of web, which no look has seen yet"
    assert loss["reason"] == {"delete": unseen, "restore": "returns to new"}[verb]


@pytest.mark.parametrize(
    ("wish", "dies", "sentence"),
    [
        (
            {"verb": "restore", "name": "base"},
            [("present state", "web", "returns to base")],
            "This erases the present state of web.",
        ),
        (
            {"verb": "delete", "name": "one"},
            [("snapshot", "First try", "snapshot of web")],
            "This erases 1 snapshot (97.0 MiB).",
        ),
        (
            {"verb": "delete", "name": "one", "children": True},
            [
                ("snapshot", "First try", "snapshot of web"),
                ("snapshot", "by-virsh", "snapshot of web"),
            ],
            "This erases 2 snapshots (194.0 MiB).",
        ),
        (
            {"verb": "delete", "every": True},
            [
                ("snapshot", "base", "snapshot of web"),
                ("snapshot", "First try", "snapshot of web"),
                ("snapshot", "by-virsh", "snapshot of web"),
                ("snapshot", "two", "snapshot of web"),
            ],
            "This erases 4 snapshots (291.0 MiB).",
        ),
    ],
)
def test_program_confirms_what_dies_by_its_token(
    browser: Client,
    seen: object,
    wish: dict[str, object],
    dies: list[tuple[str, str, str]],
    sentence: str,
):
    wish = {"guest": "web", **wish}

    refused = program(browser, wish)
    assert not Run.objects.exists()
    erases = refused.json()["erases"]
    started = program(browser, wish | {"confirm": erases["confirm"]})

    assert refused.status_code == 428
    assert refused.json()["error"] == sentence
    losses = [(one["sort"], one["name"], one["reason"]) for one in erases["losses"]]
    assert losses == dies
    assert started.json()["run"] == Run.objects.get().pk


def test_token_of_a_snapshot_is_not_that_of_a_later_one_of_its_name(
    browser: Client, deployed: Testbed, seen: ObservedSnapshots
):
    wish = {"verb": "delete", "guest": "web", "name": "two"}
    confirm = program(browser, wish).json()["erases"]["confirm"]
    seen.snapshots[-1]["created_at"] += 1
    seen.save()

    again = program(browser, wish | {"confirm": confirm})

    assert again.status_code == 428
    assert again.json()["error"].startswith("The list is not the one that was")
    assert not Run.objects.exists()


def test_deletion_of_every_snapshot_is_planned_for_those_that_were_seen(
    browser: Client, seen: ObservedSnapshots
):
    wish = {"verb": "delete", "guest": "web", "every": True}
    confirm = program(browser, wish).json()["erases"]["confirm"]

    program(browser, wish | {"confirm": confirm})

    run = Run.objects.get()
    assert run.title == "Delete 4 snapshots"
    times = {one["name"]: one["created_at"] for one in seen.snapshots}
    assert run.plan["snapshot"]["every"] == times


def test_page_asks_before_every_snapshot_of_a_guest_is_deleted(
    browser: Client, seen: object
):
    assert "Delete all snapshots of web…" in shown(browser)
    wish = {"verb": "delete", "guest": "web", "every": "1"}

    question = browser.post(PAGE, wish).content.decode()

    words = visible(question)
    assert "Delete all 4 snapshots of web?" in words
    assert all(name in words for name in ("base", "First try", "by-virsh", "two"))
    assert not Run.objects.exists()
    browser.post(PAGE, dict(HIDDEN.findall(question)) | {"verb": "delete"})
    assert Run.objects.get().title == "Delete 4 snapshots"


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"name": "base"}, "All snapshots of the guest are to be deleted, and one"),
        ({"children": True}, "All snapshots of the guest are to be deleted, and one"),
        ({"verb": "restore"}, "Only a deletion is of all snapshots"),
        ({"verb": "create", "name": "x"}, "Only a deletion is of all snapshots"),
        ({"guest": "@all"}, "All snapshots of all guests are not deleted at once."),
        ({"guest": "db"}, "db had no snapshot at the last look."),
    ],
    ids=lambda found: str(found)[:20],
)
def test_deletion_of_every_snapshot_is_of_one_guest_alone(
    browser: Client, seen: object, more: dict[str, object], sentence: str
):
    wish = {"verb": "delete", "guest": "web", "every": True, **more}

    answer = program(browser, wish)

    assert answer.status_code == 422
    assert answer.json()["error"].startswith(sentence)
    assert not Run.objects.exists()


def test_program_cannot_delete_what_is_below_a_snapshot_that_no_look_saw(
    browser: Client, seen: object
):
    wish = {"verb": "delete", "guest": "web", "name": "new", "children": True}

    answer = program(browser, wish)

    assert answer.status_code == 422
    assert "had no snapshot new at the last look" in answer.json()["error"]


def test_protection_and_other_runs_come_before_the_question(
    browser: Client, deployed: Testbed, owner: User, seen: object
):
    guarded = deployed.protections.create(guest="web", set_by=owner)
    wishes = [{"verb": "delete", "name": "two"}, {"verb": "restore", "name": "two"}]

    for wish in wishes:
        assert program(browser, {"guest": "web", **wish}).status_code == 423
    guarded.delete()
    create_run(deployed, owner, Command.UP)
    for wish in wishes:
        assert program(browser, {"guest": "web", **wish}).status_code == 409


def test_program_that_keeps_the_present_state_is_not_asked(
    browser: Client, seen: object
):
    found = browser.get(PAGE, headers=JSON).json()["guests"]
    wish = {"verb": "restore", "guest": "web", "name": "base", "before": "now"}
    started = program(browser, wish).json()

    (web,) = (guest for guest in found if guest["guest"] == "web")
    assert web["disk_bytes"] == 350 << 20
    assert [one["name"] for one in web["snapshots"]] == [
        "base",
        "one",
        "by-virsh",
        "two",
    ]
    assert web["snapshots"][2]["outside"] is True
    assert [one["kind"] for one in started["instructions"]] == [
        "create-snapshots",
        "restore-snapshots",
        "end",
    ]


def test_body_that_is_no_wish_is_refused_as_json(browser: Client):
    answer = browser.post(PAGE, "[1", content_type="application/json")

    assert answer.status_code == 422
    assert "docs/protocol.md" in answer.json()["hint"]


def test_outcome_has_the_words_of_the_guests(browser: Client, deployed: Testbed):
    browser.post(PAGE, {"verb": "create", "guest": "web", "name": "base"})
    run = Run.objects.get()
    tasks = Task.objects.filter(instruction__run=run, resource="web")
    tasks.update(
        status="failed", message="Guest web on main is crashed.", hint="Start."
    )

    finish_run(run.pk, Run.Status.FAILED)

    run.refresh_from_db()
    assert (run.message, run.hint) == ("Guest web on main is crashed.", "Start.")
    outcome = visible(shown(browser, f"/runs/{run.pk}/"))
    assert "Take snapshot base failed." in outcome
    assert "To the snapshots" in outcome


def test_guest_that_was_restored_off_is_off_by_request(
    browser: Client, deployed: Testbed, seen: object
):
    wish = {"verb": "restore", "guest": "web", "name": "two"}
    browser.post(PAGE, wish | {"confirm": token(browser, wish)})
    run = Run.objects.get()
    Task.objects.filter(instruction__run=run).update(status="done")
    finish_run(run.pk, Run.Status.SUCCEEDED)
    deployed.observed_guests.filter(name="web").update(
        status="shut off", observed_at=timezone.now() + timedelta(seconds=1)
    )

    assert "by request" in visible(shown(browser, "/testbeds/olive/lab/"))


def test_questions_before_disks_go_name_the_snapshots(
    browser: Client, deployed: Testbed, seen: object
):
    deployed.project.mark("web", disk="image")
    pages = [
        browser.post("/testbeds/olive/lab/runs/", {"command": "up", "provision": "on"}),
        browser.post(
            "/testbeds/olive/lab/up/", {"mode": "recreate", "selection": "web"}
        ),
        browser.get("/testbeds/olive/lab/disks/delete/"),
    ]
    deployed.condition = Testbed.Condition.DOWN
    deployed.save()
    pages.append(browser.get("/testbeds/olive/lab/delete/"))

    for page in pages:
        words = visible(squeezed(page.content.decode()))
        for name in ("base", "First try", "by-virsh", "two"):
            assert f"{name} on main snapshot of web" in words
    assert not Run.objects.exists()
