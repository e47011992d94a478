"""Orphans: which things are some, and what becomes of those that are deleted."""

import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import IntegrityError
from django.utils import timezone

from orchestration.errors import StateError, TestbedBusy
from orchestration.hosts import Hosts
from orchestration.instructions.base import Command, Options
from orchestration.inventory import ThingKind
from orchestration.state.model import State
from testbed.models import Cleanup, CleanupItem, Host, Inventory, Run, Testbed
from testbed.services.orphans import (
    clean_up_after,
    counts,
    delete_orphans,
    orphan_groups,
)
from testbed.services.planning import prepare
from testbed.services.testbeds import NameTaken, create_testbed, delete_testbed
from testbed.tasks import cleanups
from testbed.tasks.cleanups import (
    LOST_AFTER,
    clean_up,
    end_lost_cleanups,
    send_cleanups_again,
)
from testbed.tasks.observe import observe_all
from tests.testbed.conftest import Doors
from tests.testbed.deployment import obey, on


@pytest.fixture
def kept(
    testbed: Testbed, settings: object, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hosts]:
    hosts = Hosts(settings.RUNTIME_DIR)
    monkeypatch.setattr(cleanups, "kept_hosts", lambda: hosts)
    yield hosts
    hosts.close()


@pytest.fixture
def state(testbed: Testbed, kept: Hosts, doors: Doors) -> State:
    """The testbed, up on both hosts and seen."""
    planned = prepare(testbed, Command.UP, Options())[0]
    obey(testbed, kept, Command.UP)
    # A testbed younger than the last look has no orphans yet.
    before = timezone.now() - timedelta(hours=1)
    Testbed.objects.update(created_at=before)
    observe_all(kept)
    return planned


def listed() -> dict[str, dict[str, set[str]]]:
    """Kinds of the orphans, by name and host."""
    return {
        group.name: {
            on.host: {orphan.thing.kind.value for orphan in on.orphans}
            for on in group.hosts
        }
        for group in orphan_groups()
    }


def lose(testbed: Testbed) -> None:
    """Lose the row, as with an old copy of the database."""
    Testbed.objects.filter(pk=testbed.pk).delete()


MAIN = {"domain", "bridge", "port", "network", "link", "folder"}
OTHER = {"domain", "bridge", "port", "network", "folder"}


def test_testbed_that_is_there_has_no_orphans(state: State) -> None:
    assert listed() == {}


def test_everything_of_a_testbed_without_a_row_is_an_orphan(
    testbed: Testbed, state: State
) -> None:
    lose(testbed)

    assert listed() == {"lab": {"main": MAIN, "host-b": OTHER}}


def test_what_a_state_does_not_have_is_an_orphan_of_its_testbed(
    testbed: Testbed, state: State, kept: Hosts
) -> None:
    on(kept, state, "host-b", "ovs-vsctl -- add-br t7-old")
    tag = "ovs-vsctl -- set Bridge t7-old external_ids:testbed=lab"
    on(kept, state, "host-b", tag)
    observe_all(kept)

    (group,) = orphan_groups()

    assert group.testbed == testbed
    assert [o.thing.name for o in group.orphans] == ["t7-old"]


@pytest.mark.parametrize("status", [Run.Status.PENDING, Run.Status.RUNNING])
def test_testbed_with_a_run_on_has_no_orphans(
    testbed: Testbed, state: State, owner: User, status: str
) -> None:
    testbed.project.clear()
    assert listed()
    Run.objects.create(
        testbed=testbed, command="up", plan={}, asked_by=owner, status=status
    )

    assert listed() == {}


def test_look_that_began_before_a_run_ended_names_no_orphans(
    testbed: Testbed, state: State, owner: User
) -> None:
    testbed.project.clear()
    run = Run.objects.create(
        testbed=testbed, command="down", plan={}, asked_by=owner, status="succeeded"
    )
    Run.objects.filter(pk=run.pk).update(ended_at=timezone.now())

    assert listed() == {}


def test_cleared_testbed_keeps_its_folder_on_main(
    testbed: Testbed, state: State
) -> None:
    testbed.project.clear()

    assert listed() == {"lab": {"main": MAIN - {"folder"}, "host-b": OTHER}}


def test_broken_state_makes_nothing_an_orphan(testbed: Testbed, state: State) -> None:
    testbed.project.state_file.write_text("{")

    assert listed() == {}


def test_device_of_an_unknown_number_is_listed_by_it(state: State, kept: Hosts) -> None:
    on(kept, state, "main", "ip link add t9vn type veth peer name t9vb")
    observe_all(kept)

    assert listed() == {"number 9": {"main": {"link"}}}


def test_new_testbed_gets_neither_the_folder_nor_the_number_of_a_lost_one(
    testbed: Testbed, state: State, stranger: User
) -> None:
    for number in range(7):
        Testbed.objects.create(owner=stranger, slug=f"t{number}", number=number)
    lose(testbed)

    with pytest.raises(NameTaken, match="was lost"):
        create_testbed(stranger, "lab", {"kvm-compose.yaml": b"machines: []"})

    other = create_testbed(stranger, "other", {"kvm-compose.yaml": b"machines: []"})
    assert other.number == 8
    assert not Testbed.objects.filter(slug="lab").exists()
    assert testbed.project.has_state()


def delete(name: str, user: User, doors: Doors) -> Cleanup:
    """Ask for a deletion and do it, as a worker would."""
    cleanup = delete_orphans(name, name, user)
    clean_up(cleanup.pk)
    cleanup.refresh_from_db()
    return cleanup


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
    really_delete, gone = cleanups.delete_thing, []

    def delete_and_adopt(host, thing, **more):
        gone.append(thing.name)
        if len(gone) == 1:
            Testbed.objects.create(owner=owner, slug="lab", number=7)
        return really_delete(host, thing, **more)

    monkeypatch.setattr(cleanups, "delete_thing", delete_and_adopt)

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

    monkeypatch.setattr(cleanups, "delete_thing", delete_and_start)

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
    monkeypatch.setattr(cleanups, "delete_thing", lambda *args, **kwargs: True)

    cleanup = delete("lab", admin, doors)

    assert cleanup.status == "failed"
    assert {item.message for item in cleanup.items.all()} == {"is still there"}
    assert cleanup.message.startswith("0 of ")


def test_folder_stays_while_its_guests_cannot_be_deleted(
    testbed: Testbed, state: State, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = cleanups.delete_thing

    def refuse(host, thing, *, scope):
        if thing.kind == ThingKind.DOMAIN:
            raise StateError("It will not go.")
        return real(host, thing, scope=scope)

    monkeypatch.setattr(cleanups, "delete_thing", refuse)
    lose(testbed)

    cleanup = delete_orphans("lab", "lab", admin)
    clean_up(cleanup.pk)

    folders = cleanup.items.filter(kind=ThingKind.FOLDER)
    assert set(folders.values_list("status", "message")) == {
        ("failed", "its guests are still there")
    }


def test_name_must_be_typed(testbed: Testbed, state: State, admin: User) -> None:
    lose(testbed)

    with pytest.raises(StateError, match="not typed"):
        delete_orphans("lab", "lob", admin)

    assert not Cleanup.objects.exists()


def test_what_is_no_orphan_cannot_be_deleted(state: State, admin: User) -> None:
    with pytest.raises(StateError, match="no orphans of lab"):
        delete_orphans("lab", "lab", admin)


def test_second_deletion_of_the_same_name_waits(
    testbed: Testbed, state: State, admin: User
) -> None:
    lose(testbed)
    delete_orphans("lab", "lab", admin)

    with pytest.raises(TestbedBusy):
        delete_orphans("lab", "lab", admin)


def test_only_a_second_deletion_is_told_as_one(
    testbed: Testbed, state: State, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(items: object) -> None:
        raise IntegrityError("cleanupitem")

    lose(testbed)
    monkeypatch.setattr(CleanupItem.objects, "bulk_create", refuse)

    with pytest.raises(IntegrityError, match="cleanupitem"):
        delete_orphans("lab", "lab", admin)

    assert not Cleanup.objects.exists()


def test_testbed_can_go_while_its_orphans_are_being_deleted(
    testbed: Testbed, state: State, owner: User
) -> None:
    Cleanup.objects.create(name="lab", asked_by=owner)

    assert clean_up_after(testbed) is None

    assert Cleanup.objects.count() == 1


def test_message_that_comes_twice_does_nothing_the_second_time(
    testbed: Testbed, state: State, admin: User, doors: Doors
) -> None:
    lose(testbed)
    cleanup = delete("lab", admin, doors)
    Cleanup.objects.filter(pk=cleanup.pk).update(message="as it was")

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.message == "as it was"


def test_lost_worker_ends_a_deletion_and_untaken_ones_are_sent_again(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(cleanups, "send", sent.append)
    long_ago = timezone.now() - timedelta(hours=1)
    running = Cleanup.objects.create(
        name="a", asked_by=admin, status="running", seen_at=long_ago
    )
    alive = Cleanup.objects.create(
        name="b", asked_by=admin, status="running", seen_at=timezone.now()
    )
    waiting = Cleanup.objects.create(name="c", asked_by=admin)
    Cleanup.objects.filter(pk=waiting.pk).update(created_at=long_ago)
    Cleanup.objects.create(name="d", asked_by=admin)

    assert end_lost_cleanups() == 1
    assert send_cleanups_again() == 1

    running.refresh_from_db()
    alive.refresh_from_db()
    assert (running.status, alive.status) == ("failed", "running")
    assert "worker" in running.message
    assert sent == [waiting.pk]


@pytest.mark.django_db(transaction=True)
def test_deletion_that_takes_long_in_one_place_is_not_lost(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleanup = Cleanup.objects.create(name="a", asked_by=admin, subject="images")
    row = Cleanup.objects.filter(pk=cleanup.pk)

    def delete_slowly(*_: object) -> str:
        row.update(seen_at=timezone.now() - timedelta(hours=1))
        deadline = time.monotonic() + 30
        while row.filter(seen_at__lt=timezone.now() - LOST_AFTER).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert end_lost_cleanups() == 0
        return ""

    monkeypatch.setattr(cleanups, "SEEN_EVERY_S", 0.01)
    monkeypatch.setattr(cleanups, "delete_images", delete_slowly)

    clean_up(cleanup.pk)

    assert row.get().status == Cleanup.Status.SUCCEEDED


def test_counts_name_the_host_the_testbed_and_the_first_things(
    testbed: Testbed, state: State
) -> None:
    assert counts() == []
    lose(testbed)

    lines = counts()

    assert [line.split(":")[0] for line in lines] == ["host-b", "main"]
    assert all("orphans of lab: " in line for line in lines)
    assert lines[1].endswith("more")


def test_deleted_testbed_leaves_no_folder_on_other_hosts(
    testbed: Testbed, state: State, kept: Hosts, doors: Doors
) -> None:
    obey(testbed, kept, Command.DOWN)
    observe_all(kept)

    delete_testbed(testbed)

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
    delete_testbed(testbed)

    assert not Cleanup.objects.exists()


def said(*words: str) -> list[str]:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue().splitlines()


def test_commands_name_the_orphans(testbed: Testbed, state: State) -> None:
    assert said("check_hosts") == ["main: answers", "host-b: answers"]
    assert said("recover") == ["Nothing had to be mended."]
    lose(testbed)

    checked, recovered = said("check_hosts"), said("recover")

    assert [line.partition(": domain")[0] for line in checked] == [
        "main: answers",
        "main: orphans of lab",
        "host-b: answers",
        "host-b: orphans of lab",
    ]
    assert [line for line in recovered if "orphans of lab" in line] == counts()


def test_inventory_goes_with_its_host(state: State) -> None:
    Host.objects.filter(name="host-b").delete()

    assert [row.host.name for row in Inventory.objects.all()] == ["main"]
