"""Adopting: a lost testbed comes back, a forgetful one gets what it forgot."""

import shutil
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.hosts import Hosts
from orchestration.plan.model import Command, Options
from orchestration.state.model import State
from testbed.hosts.observation import observe_all
from testbed.models import Host, Run, Testbed
from testbed.orphans.adoption import adopt_lost, offer
from testbed.orphans.listing import Group, group_named, orphan_groups
from testbed.testbeds.files import delete_testbed, require_deletable
from tests.testbed.confirming import agreed
from tests.testbed.conftest import Doors
from tests.testbed.deployment import come_up, obey, on
from tests.testbed.preparing import prepare


@pytest.fixture
def state(testbed: Testbed, kept: Hosts, doors: Doors) -> State:
    """The testbed, up on both hosts, its key there, all of it seen."""
    return come_up(testbed, kept)


@pytest.fixture
def lost(testbed: Testbed, state: State) -> Group:
    """The orphans of the testbed, whose row is gone."""
    Testbed.objects.filter(pk=testbed.pk).delete()
    return group_named("lab")


def test_lost_testbed_comes_back_with_its_number_and_can_be_taken_down(
    lost: Group, state: State, kept: Hosts, member: User
) -> None:
    assert offer(lost).is_possible

    back = adopt_lost("lab", member)

    assert (back.number, back.owner) == (7, member)
    Testbed.objects.update(created_at=timezone.now() - timedelta(hours=1))
    observe_all(kept)
    assert orphan_groups() == []
    back.refresh_from_db()
    assert back.condition == Testbed.Condition.PARTIAL
    assert prepare(back, Command.DOWN, Options())[0] == state_of(back)
    obey(back, kept, Command.DOWN)
    observe_all(kept)
    assert not back.observed_guests.exists()


def state_of(testbed: Testbed) -> State:
    return testbed.project.read_state()


def why(name: str = "lab") -> str:
    found = offer(group_named(name))
    assert not found.is_possible
    with pytest.raises(StateError):
        adopt_lost(name, User.objects.get())
    return found.text


def test_reason_is_said_when_the_folder_is_gone(lost: Group, testbed: Testbed) -> None:
    shutil.rmtree(testbed.directory)

    assert "no folder of a testbed lab on main" in why()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("files/kvm-compose.yaml", "has no kvm-compose.yaml"),
        ("state.json", "has no state.json"),
        ("keys/id_ed25519", "has no key"),
    ],
)
def test_reason_is_said_when_a_part_of_the_folder_is_gone(
    lost: Group, testbed: Testbed, path: str, words: str
) -> None:
    (testbed.directory / path).unlink()

    assert words in why()


def test_reason_is_said_when_the_state_is_broken(lost: Group, testbed: Testbed) -> None:
    testbed.project.state_file.write_text("{")

    assert "cannot be read" in why()


def test_reason_is_said_when_the_state_is_of_another_testbed(
    lost: Group, testbed: Testbed, state: State
) -> None:
    other = state.model_copy(update={"testbed": "other"})
    testbed.project.write_state(other)

    assert "that of other" in why()


def test_reason_is_said_when_the_number_is_taken(lost: Group, owner: User) -> None:
    Testbed.objects.create(owner=owner, slug="young", number=7)

    assert "belongs to testbed olive/young now" in why()


def test_reason_is_said_when_a_host_is_unknown(lost: Group) -> None:
    Host.objects.filter(name="host-b").delete()

    assert "not known: host-b" in why()


def went_down(testbed: Testbed, owner: User) -> None:
    Run.objects.create(
        testbed=testbed,
        command=Command.DOWN,
        plan={},
        asked_by=owner,
        status=Run.Status.SUCCEEDED,
        ended_at=timezone.now(),
    )


@pytest.fixture
def taken_down(testbed: Testbed, state: State, kept: Hosts, owner: User) -> None:
    """The testbed is down, but for a bridge with its tag that its state has not."""
    obey(testbed, kept, Command.DOWN)
    went_down(testbed, owner)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    on(kept, state, "host-b", "ovs-vsctl -- add-br t7-old")
    tag = "ovs-vsctl -- set Bridge t7-old external_ids:testbed=lab"
    on(kept, state, "host-b", tag)
    observe_all(kept)


def condition(testbed: Testbed) -> str:
    testbed.refresh_from_db()
    return testbed.condition


@pytest.mark.usefixtures("taken_down")
def test_testbed_is_not_deleted_while_a_host_holds_something_of_it(
    testbed: Testbed, state: State, kept: Hosts, doors: Doors
) -> None:
    with pytest.raises(StateError, match=r"not know: bridge t7-old on host-b\.") as one:
        agreed(delete_testbed, testbed, testbed.owner)
    assert "among the orphans" in one.value.hint

    on(kept, state, "host-b", "ovs-vsctl -- del-br t7-old")
    observe_all(kept)
    agreed(delete_testbed, testbed, testbed.owner)
    assert not Testbed.objects.exists()


def test_observation_before_the_last_run_keeps_no_testbed(
    testbed: Testbed, state: State, kept: Hosts, owner: User
) -> None:
    obey(testbed, kept, Command.DOWN)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    with pytest.raises(StateError, match=r"there: domain t7-.* and \d+ more\."):
        require_deletable(testbed)

    went_down(testbed, owner)

    require_deletable(testbed)


def test_testbed_that_is_there_is_not_offered(testbed: Testbed, state: State) -> None:
    assert offer(Group("lab", (), testbed)) is None
