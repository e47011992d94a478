"""Power verbs on guests of simulated hosts: each looks first and tells the truth."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import PowerFailed
from orchestration.events import Status
from orchestration.instructions import power
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.model import Kind, Options
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.power import Rebooted
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests

MakeTask = Callable[..., Task]


@pytest.fixture
def task(rehearsal: Rehearsal, make_task: MakeTask) -> Task:
    """A task on guest `a`, which runs."""
    rehearsal.up()
    return make_task("a")


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Rehearsal]:
    """Two guests with a run script each."""
    script = {"run.py": "#!/usr/bin/env python3\n"}
    spec = two_guests(run_script="run.py")
    rehearsal = Rehearsal(tmp_path / "scripted", spec, scripts=script)
    yield rehearsal
    rehearsal.hosts.close()


def status_of(task: Task) -> str:
    guest = task.state.guest("a")
    return domains.find(task.host.libvirt, task.domain(guest)).status


def said(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.message


def refusal(verb: Callable[[Task], Outcome], task: Task) -> str:
    with pytest.raises(PowerFailed) as refused:
        verb(task)
    return refused.value.sentence


def test_guest_is_shut_down_and_started(task: Task) -> None:
    assert said(power.shut_down(task)) == (Status.DONE, "")
    assert status_of(task) == "shut off"
    assert said(power.shut_down(task)) == (Status.UNCHANGED, "was off already")

    assert said(power.power_on(task)) == (Status.DONE, "")
    assert status_of(task) == "running"
    assert said(power.power_on(task)) == (Status.UNCHANGED, "was on already")


def test_guest_is_forced_off(task: Task) -> None:
    assert said(power.power_off(task)) == (Status.DONE, "")
    assert status_of(task) == "shut off"
    assert said(power.power_off(task)) == (Status.UNCHANGED, "was off already")


def test_guest_is_paused_and_resumed(task: Task) -> None:
    assert said(power.pause(task)) == (Status.DONE, "")
    assert status_of(task) == "paused"
    assert said(power.pause(task)) == (Status.UNCHANGED, "was paused already")

    assert power.resume(task).status is Status.DONE
    assert status_of(task) == "running"
    assert said(power.resume(task)) == (Status.UNCHANGED, "was running already")


def test_guest_is_reset(task: Task) -> None:
    assert said(power.reset(task)) == (Status.DONE, "")


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (Rebooted.SEEN, ""),
        (
            Rebooted.UNSEEN,
            "was asked to reboot; this host reports no events, so it was not observed",
        ),
    ],
)
def test_reboot_says_whether_it_was_observed(
    task: Task, monkeypatch: pytest.MonkeyPatch, end: Rebooted, message: str
) -> None:
    monkeypatch.setattr(power.power, "reboot", lambda *_, **__: end)

    assert said(power.reboot(task)) == (Status.DONE, message)


@pytest.mark.parametrize(
    ("end", "sentence"),
    [
        (
            Rebooted.IGNORED,
            "Guest a on host-a did not reboot within 120 s. Reset restarts it at once.",
        ),
        (
            Rebooted.WENT_OFF,
            "Guest a on host-a went off instead of rebooting. Use Start.",
        ),
    ],
)
def test_reboot_that_did_not_happen_is_a_failure(
    task: Task, monkeypatch: pytest.MonkeyPatch, end: Rebooted, sentence: str
) -> None:
    monkeypatch.setattr(power.power, "reboot", lambda *_, **__: end)

    assert refusal(power.reboot, task) == sentence


def test_guest_that_ignores_its_power_button_fails_and_runs(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power.domains, "shut_down", lambda *_, **__: False)

    assert refusal(power.shut_down, task) == (
        "Guest a on host-a still runs 120 s after its power button was pressed. "
        "Force off ends it at once."
    )
    assert status_of(task) == "running"


@pytest.mark.parametrize("verb", [power.reboot, power.reset, power.pause, power.resume])
def test_guest_that_is_off_has_to_be_started(
    task: Task, verb: Callable[[Task], Outcome]
) -> None:
    power.power_off(task)

    assert refusal(verb, task) == "Guest a on host-a is off. Use Start."


@pytest.mark.parametrize("verb", [power.shut_down, power.reboot, power.reset])
def test_paused_guest_has_to_be_resumed(
    task: Task, verb: Callable[[Task], Outcome]
) -> None:
    power.pause(task)

    sentence = "Guest a on host-a is paused. Use Resume first, or Force off."
    assert refusal(verb, task) == sentence
    assert refusal(power.power_on, task) == "Guest a on host-a is paused. Use Resume."
    assert power.power_off(task).status is Status.DONE


@pytest.mark.parametrize(
    "verb", [power.power_on, power.shut_down, power.power_off, power.reset]
)
def test_guest_that_does_not_exist_is_brought_up_first(
    rehearsal: Rehearsal, make_task: MakeTask, verb: Callable[[Task], Outcome]
) -> None:
    task = make_task("b", host="host-b")

    assert refusal(verb, task) == "Guest b does not exist on host-b. Use Up."


def test_start_says_that_the_definition_is_an_older_one(task: Task) -> None:
    power.power_off(task)
    guests = tuple(
        guest.model_copy(update={"spec_hash": "new"}) for guest in task.state.guests
    )
    edited = replace(task, state=task.state.model_copy(update={"guests": guests}))

    outcome = power.power_on(edited)

    assert said(outcome) == (Status.WARNING, "was started with older settings")
    assert "Use Down, then Up" in outcome.hint


def test_next_up_runs_the_run_script_of_a_guest_that_booted(
    scripted: Rehearsal,
) -> None:
    scripted.up()
    before = scripted.up().of(Kind.RUN_SCRIPTS)["a"]
    guest = scripted.state.guest("a")
    task = Task(
        index=0,
        resource=scripted.instruction(Kind.START_GUESTS).resources[0],
        state=scripted.state,
        project=scripted.project,
        options=Options(),
        host=scripted.hosts.open(scripted.state.host(guest.host)),
        hosts=scripted.hosts,
        scope=scripted.scope,
        sink=scripted.events.append,
    )

    outcome = power.reset(task)

    assert said(outcome) == (Status.DONE, "run.py runs at the next Up")
    again = scripted.up().of(Kind.RUN_SCRIPTS)
    assert before.status is Status.UNCHANGED
    assert again["a"].message == "run.py finished (exit 0)"
    assert again["b"].status is Status.UNCHANGED
