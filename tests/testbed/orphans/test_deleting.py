"""The outcome of deleting orphans, and things that are orphans no more.

Only what is listed goes; what somebody uses again by then stays, and so does what is
above or below a thing that would not go. Each thing has an outcome of its own.
"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.hosts import Hosts
from orchestration.inventory.things import ThingKind
from orchestration.plan.model import Command
from orchestration.state.model import State
from testbed.cleanups import clean_up
from testbed.hosts.observation import observe_all
from testbed.models import Cleanup, Inventory, Run, Testbed
from testbed.orphans import deletion
from testbed.orphans.listing import delete_orphans
from testbed.testbeds.files import delete_testbed
from tests.testbed.confirming import agreed
from tests.testbed.conftest import Doors
from tests.testbed.deployment import obey, on
from tests.testbed.orphans.listing import MAIN, OTHER, delete, listed, lose


def test_deleted_orphans_are_gone_and_said_to_be(
    testbed: Testbed, state: State, kept: Hosts, admin: User, doors: Doors
) -> None:
    lose(testbed)

    cleanup = delete("lab", admin, doors)

    assert (cleanup.status, cleanup.message) == ("succeeded", "All of it is gone.")
    assert cleanup.ended_at is not None
    assert {item.status for item in cleanup.items.all()} <= {"done", "unchanged"}
    assert not testbed.directory.exists()
    observe_all(kept)
    assert listed() == {}


def test_only_what_is_listed_goes_and_a_neighbour_stays(
    testbed: Testbed, state: State, kept: Hosts, admin: User, doors: Doors
) -> None:
    on(kept, state, "main", "ip link add t9vn type veth peer name t9vb")
    observe_all(kept)

    assert delete("number 9", admin, doors).status == "succeeded"

    observe_all(kept)
    assert listed() == {}
    things = Inventory.objects.get(host__name="main").things
    assert {thing["kind"] for thing in things} == MAIN


def test_testbed_that_came_back_meanwhile_loses_nothing(
    testbed: Testbed, state: State, kept: Hosts, admin: User, owner: User, doors: Doors
) -> None:
    lose(testbed)
    cleanup = delete_orphans("lab", "lab", admin)
    back = Testbed.objects.create(owner=owner, slug="lab", number=7)
    before = timezone.now() - timedelta(hours=1)
    Testbed.objects.update(created_at=before)

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "succeeded"
    assert {item.status for item in cleanup.items.all()} == {"unchanged"}
    assert back.project.has_state()
    observe_all(kept)
    assert listed() == {}
    assert {t["kind"] for t in Inventory.objects.get(host__name="main").things} == MAIN


def test_testbed_that_comes_back_in_the_middle_keeps_what_is_left(
    testbed: Testbed,
    state: State,
    kept: Hosts,
    admin: User,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lose(testbed)
    cleanup = delete_orphans("lab", "lab", admin)
    really_delete, gone = deletion.delete_thing, []

    def delete_and_adopt(host, thing, **more):
        gone.append(thing.name)
        if len(gone) == 1:
            Testbed.objects.create(owner=owner, slug="lab", number=7)
        return really_delete(host, thing, **more)

    monkeypatch.setattr(deletion, "delete_thing", delete_and_adopt)

    clean_up(cleanup.pk)

    assert len(gone) == 1
    observe_all(kept)
    there = Inventory.objects.get(host__name="host-b").things
    assert "folder" in {thing["kind"] for thing in there}


def test_run_that_begins_in_the_middle_keeps_what_it_may_use(
    testbed: Testbed,
    state: State,
    admin: User,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    testbed.project.clear()
    cleanup = delete_orphans("lab", "lab", admin)
    gone = []

    def delete_and_start(host, thing, **more):
        gone.append(thing.name)
        if len(gone) == 1:
            Run.objects.create(testbed=testbed, command="up", plan={}, asked_by=owner)
        return True

    monkeypatch.setattr(deletion, "delete_thing", delete_and_start)

    clean_up(cleanup.pk)

    assert len(gone) == 1


def test_host_that_does_not_answer_fails_its_things_and_no_others(
    testbed: Testbed, state: State, kept: Hosts, admin: User, settings: object
) -> None:
    lose(testbed)
    faults = settings.RUNTIME_DIR / "simulated" / "host-b.faults.json"
    faults.write_text('{"": {"unreachable": true}}')
    cleanup = delete_orphans("lab", "lab", admin)

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.status == "failed"
    assert {i.status for i in cleanup.items.filter(host="host-b")} == {"failed"}
    assert "failed" not in {i.status for i in cleanup.items.filter(host="main")}
    assert "does not answer" in cleanup.items.filter(host="host-b")[0].message
    faults.unlink()
    observe_all(kept)
    assert listed() == {"lab": {"host-b": OTHER}}
    again = delete_orphans("lab", "lab", admin)
    clean_up(again.pk)
    again.refresh_from_db()
    assert again.status == "succeeded"


def test_thing_that_stays_is_said_to_be_still_there(
    testbed: Testbed,
    state: State,
    admin: User,
    doors: Doors,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lose(testbed)
    monkeypatch.setattr(deletion, "delete_thing", lambda *args, **kwargs: True)

    cleanup = delete("lab", admin, doors)

    assert cleanup.status == "failed"
    assert {item.message for item in cleanup.items.all()} == {"is still there"}
    assert cleanup.message.startswith("0 of ")


def test_folder_stays_while_its_guests_cannot_be_deleted(
    testbed: Testbed, state: State, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deletion.delete_thing

    def refuse(host, thing, *, scope):
        if thing.kind == ThingKind.DOMAIN:
            raise StateError("It will not go.")
        return real(host, thing, scope=scope)

    monkeypatch.setattr(deletion, "delete_thing", refuse)
    lose(testbed)

    cleanup = delete_orphans("lab", "lab", admin)
    clean_up(cleanup.pk)

    folders = cleanup.items.filter(kind=ThingKind.FOLDER)
    assert set(folders.values_list("status", "message")) == {
        ("failed", "its guests are still there")
    }


def test_deleted_testbed_leaves_no_folder_on_other_hosts(
    testbed: Testbed, state: State, kept: Hosts, doors: Doors
) -> None:
    obey(testbed, kept, Command.DOWN)
    observe_all(kept)

    agreed(delete_testbed, testbed, testbed.owner)

    (cleanup,) = Cleanup.objects.all()
    assert cleanup.asked_by == testbed.owner
    items = cleanup.items.values_list("host", "kind", "name")
    assert list(items) == [("host-b", "folder", "lab")]
    clean_up(cleanup.pk)
    cleanup.refresh_from_db()
    assert (cleanup.status, cleanup.items.get().status) == ("succeeded", "done")
    observe_all(kept)
    assert listed() == {}
    assert Inventory.objects.get(host__name="host-b").things == []


def test_testbed_that_was_never_on_another_host_needs_no_worker_to_go(
    testbed: Testbed, doors: Doors
) -> None:
    agreed(delete_testbed, testbed, testbed.owner)

    assert not Cleanup.objects.exists()
