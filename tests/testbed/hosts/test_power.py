"""A guest that a user turned off or paused is no fault, until `up` wants it again."""

import pytest
from django.contrib.auth.models import User

from orchestration.hosts import Hosts
from orchestration.plan.model import Command, Kind
from orchestration.state.model import State
from testbed.hosts.observation import observe_all
from testbed.hosts.power import requested_statuses
from testbed.models import Run, Task, Testbed
from testbed.pages.drift import drift_of
from testbed.pages.overview import guests_of
from tests.testbed.deployment import obey
from tests.testbed.hosts.host_changes import (
    Condition,
    condition,
    is_now,
    ran,
    start,
    stop,
)


@pytest.fixture
def up(testbed: Testbed, kept: Hosts, state: State, owner: User) -> Testbed:
    """The testbed, up: both guests run."""
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)
    return testbed


def changed(
    testbed: Testbed, owner: User, kind: Kind, *names: str, status: str = "done"
) -> None:
    """Leave a power run behind."""
    run = ran(testbed, owner, Command.POWER, Run.Status.SUCCEEDED)
    instruction = run.instructions.create(index=0, kind=kind, stage="Power", title="P")
    Task.objects.bulk_create(
        Task(instruction=instruction, resource=name, host="main", status=status)
        for name in names
    )


def drift(testbed: Testbed, state: State) -> tuple[str, ...]:
    testbed.refresh_from_db()
    faults = drift_of(testbed, guests_of(testbed, state), testbed.runs.first()).faults
    return tuple(map(str, faults))


def test_last_verb_counts(up: Testbed, owner: User) -> None:
    changed(up, owner, Kind.SHUT_DOWN, "web", "db")
    changed(up, owner, Kind.POWER_ON, "db")
    assert requested_statuses(up) == {"web": "shut off"}

    changed(up, owner, Kind.PAUSE, "db")
    assert requested_statuses(up) == {"web": "shut off", "db": "paused"}

    ran(up, owner, Command.UP, Run.Status.SUCCEEDED)
    assert requested_statuses(up) == {}


def test_guest_that_was_brought_up_alone_is_off_by_request_no_more(
    up: Testbed, owner: User
) -> None:
    changed(up, owner, Kind.SHUT_DOWN, "web", "db")
    run = ran(up, owner, Command.UP_GUESTS, Run.Status.SUCCEEDED)
    started = run.instructions.create(
        index=0, kind=Kind.START_GUESTS, stage="Start guests", title="S"
    )
    Task.objects.create(instruction=started, resource="web", host="main", status="done")

    assert requested_statuses(up) == {"db": "shut off"}


@pytest.mark.parametrize("status", ["waiting", "skipped"])
def test_verb_that_did_not_begin_counts_for_nothing(
    up: Testbed, owner: User, status: str
) -> None:
    changed(up, owner, Kind.SHUT_DOWN, "web", status=status)

    assert requested_statuses(up) == {}


@pytest.mark.parametrize("kind", [Kind.POWER_ON, Kind.REBOOT, Kind.RESET])
def test_paused_guest_that_a_verb_refuses_is_paused_by_request_still(
    up: Testbed, owner: User, kind: Kind
) -> None:
    changed(up, owner, Kind.PAUSE, "web")

    changed(up, owner, kind, "web", status="failed")

    assert requested_statuses(up) == {"web": "paused"}


def test_testbed_stays_up_while_a_user_keeps_guests_off(
    up: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    stop(kept, state, "web", undefine=False)
    observe_all(kept)
    assert condition(up) == Condition.PARTIAL
    assert drift(up, state) == ("guest web is shut off on main",)

    changed(up, owner, Kind.SHUT_DOWN, "web")
    observe_all(kept)
    assert condition(up) == Condition.UP
    assert drift(up, state) == ()

    changed(up, owner, Kind.POWER_ON, "web")
    start(kept, state, "web")
    observe_all(kept)
    assert condition(up) == Condition.UP


def test_another_guest_that_is_off_is_still_a_fault(
    up: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    changed(up, owner, Kind.POWER_OFF, "web")
    stop(kept, state, "web", undefine=False)
    stop(kept, state, "db", undefine=False)

    observe_all(kept)

    assert condition(up) == Condition.PARTIAL
    assert drift(up, state) == ("guest db is shut off on host-b",)


def test_guest_that_was_turned_off_and_is_gone_is_a_fault(
    up: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    changed(up, owner, Kind.SHUT_DOWN, "web")
    stop(kept, state, "web")

    observe_all(kept)

    assert condition(up) == Condition.PARTIAL
    assert drift(up, state) == ("guest web is gone on main",)
