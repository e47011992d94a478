"""While a testbed or a guest is protected, no service accepts what erases its data."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from orchestration.errors import StateError, TestbedBusy
from orchestration.plan.model import Command, Options
from orchestration.plan.selected import WAYS, Mode
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.models import Protected, Protection, Run, Testbed
from testbed.runs.creation import create_guest_up, create_run, create_snapshot
from testbed.testbeds.erasure.protection import lift, protect
from testbed.testbeds.files import delete_file, delete_testbed
from tests.testbed.confirming import agreed
from tests.testbed.conftest import Doors

ANEW = WAYS[Mode.RECREATE]
Act = Callable[[Testbed, User], object]


@pytest.fixture(autouse=True)
def lab(generated: Testbed, doors: Doors) -> Testbed:
    """The testbed, up, with a disk of each guest."""
    for name in ("web", "db"):
        generated.project.mark(name, disk="ubuntu_22_04 of today")
    generated.project.file("setup.sh").write_text("#!/bin/sh\n")
    Testbed.objects.update(condition=Testbed.Condition.UP)
    generated.refresh_from_db()
    return generated


def provision(testbed: Testbed, user: User) -> object:
    options = Options(provision=True)
    return agreed(create_run, testbed, user, Command.UP, options)


def remove_web(testbed: Testbed, user: User) -> object:
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("name: web", "name: shop"))
    return agreed(create_run, testbed, user, Command.UP)


def clear(testbed: Testbed, user: User) -> object:
    return agreed(create_run, testbed, user, Command.CLEAR_ARTEFACTS)


def recreate_web(testbed: Testbed, user: User) -> object:
    return agreed(create_guest_up, testbed, user, ANEW, "web")


def recreate_db(testbed: Testbed, user: User) -> object:
    return agreed(create_guest_up, testbed, user, ANEW, "db")


def delete_it(testbed: Testbed, user: User) -> object:
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    testbed.refresh_from_db()
    return agreed(delete_testbed, testbed, user)


def delete_script(testbed: Testbed, user: User) -> object:
    return agreed(delete_file, testbed, "setup.sh", user)


ALL = (
    *(provision, remove_web, clear, recreate_web, recreate_db),
    *(delete_it, delete_script),
)
OF_WEB = (provision, remove_web, clear, recreate_web, delete_it)


@pytest.mark.parametrize("act", ALL)
def test_act_is_refused_while_the_testbed_is_protected_and_accepted_after(
    lab: Testbed, owner: User, admin: User, act: Act
) -> None:
    protect(lab, admin)

    with pytest.raises(
        Protected, match=r"^Testbed lab is protected by ada since"
    ) as no:
        act(lab, owner)
    assert no.value.hint == "Lift the protection on the page of testbed lab first."
    assert not Run.objects.exists()
    assert lab.project.file("setup.sh").exists()
    assert lab.project.read_state().guest("web").markers.disk
    assert not lab.project.has_unfinished_change()

    assert lift(lab)
    act(lab, owner)


@pytest.mark.parametrize("act", ALL)
def test_protected_guest_refuses_only_what_erases_its_own_disk(
    lab: Testbed, owner: User, act: Act
) -> None:
    protect(lab, owner, "web")

    if act not in OF_WEB:
        act(lab, owner)
        return
    with pytest.raises(Protected, match=r"^Guest web is protected by olive since"):
        act(lab, owner)
    assert not Run.objects.exists()
    assert Testbed.objects.exists()


def test_confirmation_is_no_way_past_a_protection(lab: Testbed, owner: User) -> None:
    protect(lab, owner)
    options = Options(provision=True)

    with pytest.raises(Protected):
        create_run(lab, owner, Command.UP, options, confirm="anything")


@pytest.mark.parametrize("command", [Command.UP, Command.DOWN])
def test_command_that_erases_nothing_runs_on_a_protected_testbed(
    lab: Testbed, owner: User, command: Command
) -> None:
    protect(lab, owner)

    assert create_run(lab, owner, command).pk


def test_nothing_is_protected_beside_a_run_that_may_erase_it(
    lab: Testbed, owner: User
) -> None:
    provision(lab, owner)

    with pytest.raises(TestbedBusy):
        protect(lab, owner)
    assert not Protection.objects.exists()


@pytest.mark.parametrize("verb", [SnapshotVerb.RESTORE, SnapshotVerb.DELETE])
def test_protected_guest_keeps_its_state_and_its_snapshots(
    lab: Testbed, owner: User, verb: SnapshotVerb
) -> None:
    protect(lab, owner, "web")

    with pytest.raises(Protected, match=r"^Guest web is protected"):
        create_snapshot(lab, owner, SnapshotWish(verb, "before", "olive"), "web")
    assert not Run.objects.exists()


def test_first_one_who_protects_stays_the_one(
    lab: Testbed, owner: User, admin: User
) -> None:
    protect(lab, admin)
    protect(lab, owner)

    assert Protection.objects.get().set_by == admin


def test_unknown_guest_cannot_be_protected(lab: Testbed, owner: User) -> None:
    with pytest.raises(StateError, match="has no guest ghost"):
        protect(lab, owner, "ghost")
