"""A check of a guest: it names the layer that failed, and keeps bounded facts."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestration.errors import GuestUnreachable, HostUnreachable
from orchestration.events import Check, Status
from orchestration.instructions.boot import checking
from orchestration.instructions.boot.checking import check_guests
from orchestration.instructions.task import Task
from orchestration.plan.lifecycle import plan_check
from orchestration.plan.model import Command, Kind, Plan
from orchestration.providers.libvirt import domains, power
from orchestration.state.model import State
from tests.orchestration.instructions.boot.awaited_guest import Stage
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import build, machine, spec_of

MakeTask = Callable[..., Task]


@pytest.fixture
def task(rehearsal: Rehearsal, make_task: MakeTask) -> Task:
    """A task on guest `a`, which runs on a simulated host."""
    rehearsal.up()
    return make_task("a")


@pytest.fixture
def real(stage: Stage) -> Task:
    """A task on the guest of the stage, as a check finds it in its state."""
    guests = (stage.guest, *stage.task.state.guests[1:])
    state = stage.task.state.model_copy(update={"guests": guests})
    return replace(stage.task, state=state)


def without_account(state: State) -> State:
    guests = tuple(guest.model_copy(update={"seed": ""}) for guest in state.guests)
    return state.model_copy(update={"guests": guests})


def test_plan_checks_the_guests_and_nothing_else() -> None:
    state = build(spec_of(machine("a"), machine("b")))

    plan = plan_check(state, ("b",))

    check, end = plan.instructions
    assert plan.command is Command.CHECK
    assert (check.kind, check.title) == (Kind.CHECK_GUESTS, "Check 1 guest")
    assert [resource.name for resource in check.resources] == ["b"]
    assert end.kind == Kind.END
    assert Plan.from_json(plan.to_json()) == plan


def test_guest_that_answers_can_be_reached(task: Task) -> None:
    outcome = check_guests(task)

    assert outcome.status is Status.DONE
    assert outcome.message == "Guest a on host-a can be reached."
    assert outcome.found == Check()


def test_paused_guest_fails_at_its_domain_and_stays_paused(task: Task) -> None:
    guest = task.state.guest("a")
    power.pause(task.host.libvirt, task.domain(guest))

    outcome = check_guests(task)

    assert outcome.status is Status.FAILED
    assert outcome.message.startswith(
        "Guest a on host-a cannot be reached: its domain is paused"
    )
    assert outcome.hint
    assert outcome.found == Check("domain")
    assert domains.find(task.host.libvirt, task.domain(guest)).status == "paused"


def test_guest_without_an_account_is_only_seen_to_run(task: Task) -> None:
    task = replace(task, state=without_account(task.state))

    outcome = check_guests(task)

    assert outcome.status is Status.DONE
    assert "Without an account" in outcome.message


def test_failed_login_is_looked_into_once_and_not_waited_for(
    stage: Stage, real: Task
) -> None:
    stage.probe = HostUnreachable("a (10.0.0.2:22) does not answer.")

    outcome = check_guests(real)

    assert outcome.status is Status.FAILED
    assert outcome.found.layer == "ssh"
    assert outcome.message == (
        "Guest a on host-a cannot be reached: a (10.0.0.2:22) does not answer."
    )
    assert "server started" in outcome.hint
    assert stage.probes == 1
    assert stage.clock.now_s == 1000.0


def test_hostile_facts_of_a_guest_are_bounded(
    real: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {
        f"{'x' * 99}{number}": ("10.0.0.5", "<b>", "fe80::1%<b>", *["10.0.0.6"] * 99)
        for number in range(99)
    }
    monkeypatch.setattr(checking, "read_addresses", lambda *_, **__: said)
    monkeypatch.setattr(checking, "console_tail", lambda *_, **__: "y" * 99_999)
    monkeypatch.setattr(checking, "address_problems", lambda *_: ())

    found = check_guests(real).found

    assert max(map(len, found.addresses)) == checking.NAME_CHARACTERS
    assert len(found.addresses) <= checking.MOST_INTERFACES
    for addresses in found.addresses.values():
        assert len(addresses) == checking.MOST_ADDRESSES
        assert set(addresses) == {"10.0.0.5", "10.0.0.6"}
    assert len(found.console) == checking.CONSOLE_CHARACTERS


def test_wrong_address_is_a_warning(
    real: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = "eth0 has no address in place of 10.0.0.9"
    monkeypatch.setattr(checking, "address_problems", lambda *_: (problem,))
    monkeypatch.setattr(checking, "read_addresses", lambda *_, **__: {})

    outcome = check_guests(real)

    assert outcome.status is Status.WARNING
    assert outcome.message == f"Guest a on host-a can be reached, but {problem}."


def test_guest_that_is_lost_meanwhile_is_no_dead_host(
    real: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: object) -> tuple[str, ...]:
        raise HostUnreachable("a is gone.")

    monkeypatch.setattr(checking, "address_problems", lose)

    with pytest.raises(GuestUnreachable, match="was lost while it was checked"):
        check_guests(real)
