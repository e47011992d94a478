"""Starting, setting up and stopping guests: what runs once, and what runs again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.events import Status, TaskProgressed
from orchestration.instructions import guests, scripts
from orchestration.instructions.guests import start_guests, stop_guests
from orchestration.instructions.task import Task
from orchestration.plan.model import Command, Kind
from orchestration.providers.libvirt import domains
from orchestration.state.model import Markers
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests

MakeTask = Callable[..., Task]


@pytest.fixture
def scripted(tmp_path: Path) -> Iterator[Rehearsal]:
    """Two guests with a setup script and a run script each."""
    rehearsal = Rehearsal(
        tmp_path / "scripted",
        two_guests(setup_script="setup.sh", run_script="run.py"),
        scripts={
            "setup.sh": "#!/bin/bash -e\n",
            "run.py": "#!/usr/bin/env python3\n",
        },
    )
    yield rehearsal
    rehearsal.hosts.close()


def setups(rehearsal: Rehearsal, **options: bool) -> set[tuple[Status, str]]:
    """Bring everything up, and say how the setup scripts fared."""
    found = rehearsal.up(**options).of(Kind.SET_UP_GUESTS).values()
    return {(result.status, result.message) for result in found}


def runs(rehearsal: Rehearsal, **options: bool) -> set[tuple[Status, str]]:
    found = rehearsal.up(**options).of(Kind.RUN_SCRIPTS).values()
    return {(result.status, result.message) for result in found}


RUN = "sh -s -- /etc/nocloud/script-run"
RAN = {(Status.DONE, "setup.sh finished (exit 0)")}
RAN_BEFORE = {(Status.UNCHANGED, "its setup script ran before")}
STARTED = {(Status.DONE, "run.py finished (exit 0)")}
STARTED_BEFORE = {(Status.UNCHANGED, "it ran since the guest was started")}


def test_setup_script_runs_once(scripted: Rehearsal) -> None:
    assert setups(scripted) == RAN
    assert setups(scripted) == RAN_BEFORE
    scripted.down()
    assert setups(scripted) == RAN_BEFORE


def test_setup_script_runs_again_when_it_changed(scripted: Rehearsal) -> None:
    setups(scripted)
    (scripted.project.files / "setup.sh").write_text("#!/bin/sh\necho new\n")

    assert setups(scripted) == RAN
    assert setups(scripted) == RAN_BEFORE
    scripted.down()
    scripted.build(two_guests(setup_script="setup.sh", run_script="run.py"))
    assert setups(scripted) == RAN_BEFORE


def test_setup_script_runs_again_after_it_failed(scripted: Rehearsal) -> None:
    domain = scripted.state.guest("b").domain
    fault = {"exit_code": 3, "stderr": "E: no such package"}
    scripted.break_(domain, {RUN: fault})

    outcomes = scripted.up()
    scripted.break_(domain, {})
    again = scripted.up()

    failed = outcomes.of(Kind.SET_UP_GUESTS)["b"]
    assert failed.status is Status.FAILED
    assert "setup.sh in guest b on host-b ended with exit code 3" in failed.message
    assert "fix the script" in failed.hint
    assert "E: no such package" in scripted.lines("b")
    assert outcomes.of(Kind.SET_UP_GUESTS)["a"].status is Status.DONE
    assert again.of(Kind.SET_UP_GUESTS)["a"].status is Status.UNCHANGED
    assert again.of(Kind.SET_UP_GUESTS)["b"].status is Status.DONE


def test_setup_script_runs_again_when_the_user_asks(scripted: Rehearsal) -> None:
    setups(scripted)

    assert setups(scripted, rerun_scripts=True) == RAN
    assert setups(scripted) == RAN_BEFORE


def test_setup_script_runs_again_on_a_new_disk(scripted: Rehearsal) -> None:
    setups(scripted)

    assert setups(scripted, provision=True) == RAN
    assert setups(scripted) == RAN_BEFORE


def test_run_script_runs_once_per_boot(scripted: Rehearsal) -> None:
    assert runs(scripted) == STARTED
    assert runs(scripted) == STARTED_BEFORE
    scripted.down()
    assert runs(scripted) == STARTED
    assert runs(scripted, rerun_scripts=True) == STARTED


@pytest.mark.parametrize(
    ("kind", "script"),
    [(Kind.SET_UP_GUESTS, "setup.sh"), (Kind.RUN_SCRIPTS, "run.py")],
)
def test_guest_is_shown_with_the_script_that_it_runs(
    scripted: Rehearsal, kind: Kind, script: str
) -> None:
    scripted.up()

    index = next(
        e.index for e in scripted.plan(Command.UP).instructions if e.kind == kind
    )
    seen = [e for e in scripted.events if isinstance(e, TaskProgressed)]
    notes = [e.note for e in seen if (e.index, e.resource) == (index, "a")]
    assert notes[-1] == f"runs {script}"


def test_script_runs_as_root_with_its_own_interpreter(
    scripted: Rehearsal,
) -> None:
    scripted.up()

    asked = scripted.asked(scripted.state.guest("a").domain)
    assert f"{RUN} /tmp/testbed-a-setup.sh /bin/bash -e" in asked
    assert f"{RUN} /tmp/testbed-a-run.py /usr/bin/env python3" in asked


def test_script_that_names_no_interpreter_is_read_by_a_shell(
    scripted: Rehearsal,
) -> None:
    (scripted.project.files / "setup.sh").write_text("echo hello\n")
    (scripted.project.files / "run.py").write_bytes(b"#!\n\xff")

    scripted.up()

    asked = scripted.asked(scripted.state.guest("a").domain)
    assert f"{RUN} /tmp/testbed-a-setup.sh" in asked
    assert f"{RUN} /tmp/testbed-a-run.py" in asked


def test_user_sees_what_a_script_prints(scripted: Rehearsal) -> None:
    scripted.up()

    assert "runs setup.sh" in scripted.lines("a")
    assert "testbed-a-setup.sh: done" in scripted.lines("a")


def test_script_that_is_gone_is_named(scripted: Rehearsal) -> None:
    (scripted.project.files / "setup.sh").unlink()

    failed = scripted.up().of(Kind.SET_UP_GUESTS)["a"]

    assert failed.status is Status.FAILED
    assert "setup.sh is no longer in the testbed's folder" in failed.message


def test_guest_without_a_script_is_only_waited_for(rehearsal: Rehearsal) -> None:
    first = rehearsal.up().of(Kind.SET_UP_GUESTS)["a"]
    again = rehearsal.up().of(Kind.SET_UP_GUESTS)["a"]

    assert (first.status, first.message) == (Status.DONE, "reachable")
    assert (again.status, again.message) == (Status.UNCHANGED, "reachable")
    guest = rehearsal.state.guest("a")
    assert guest.markers.reached == guest.spec_hash


def test_guest_with_another_address_is_set_up_with_a_warning(
    scripted: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "eth0 has 10.64.18.242 in place of 10.64.16.16"
    monkeypatch.setattr(scripts, "address_problems", lambda *_: (wrong,))

    found = scripted.up().of(Kind.SET_UP_GUESTS)["a"]

    assert (found.status, found.message) == (Status.WARNING, wrong)
    assert found.detail == "setup.sh finished (exit 0)"
    assert wrong in scripted.lines("a")


def test_guest_that_was_paused_goes_on(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task = make_task("a")
    domain, conn = rehearsal.domain("a"), task.host.libvirt
    conn.call("pause", lambda h: h.lookupByName(domain.name).suspend(), changes=True)

    outcome = start_guests(task)

    assert (outcome.status, outcome.message) == (Status.DONE, "was paused")
    found = domains.find(conn, domain)
    assert found is not None
    assert found.status == "running"


def test_guest_that_was_shut_down_inside_is_started_again(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task = make_task("a")
    domains.destroy(task.host.libvirt, rehearsal.domain("a"))

    assert start_guests(task).status is Status.DONE
    assert start_guests(task).status is Status.UNCHANGED


def test_start_makes_the_run_script_due_again(
    scripted: Rehearsal,
) -> None:
    scripted.up()
    before = scripted.state.guest("a").markers
    host = scripted.hosts.open(scripted.state.host("host-a"))
    domains.destroy(host.libvirt, scripted.domain("a"))

    list(scripted.obey(scripted.instruction(Kind.START_GUESTS)))

    after = scripted.state.guest("a").markers
    assert before.run_script != ""
    assert after == before.model_copy(
        update={"run_script": "", "run_script_exit_code": None}
    )


def test_running_guest_with_other_settings_is_left_alone_with_a_warning(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    rehearsal.build(two_guests(expand_gigabytes=2))

    results = rehearsal.up().of(Kind.START_GUESTS)

    assert {r.status for r in results.values()} == {Status.WARNING}
    assert "older settings" in results["a"].message
    assert "Use Down, then Up" in results["a"].hint


def test_stop_undefines_what_ran_and_says_when_nothing_did(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task = make_task("a")

    first, again = stop_guests(task), stop_guests(task)

    assert (first.status, first.message) == (Status.DONE, "")
    assert (again.status, again.message) == (Status.UNCHANGED, "did not exist")
    assert domains.observe(task.host.libvirt) == ()


def test_guest_that_ignores_the_button_is_powered_off_and_that_is_said(
    rehearsal: Rehearsal, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    rehearsal.up()
    task = make_task("a")
    waited: list[float] = []

    def deaf(*_: object, timeout_s: float, **__: object) -> bool:
        waited.append(timeout_s)
        return False

    monkeypatch.setattr(guests.domains, "shut_down", deaf)
    outcome = stop_guests(task)

    assert waited == [20.0]
    assert outcome.status is Status.DONE
    assert outcome.message == "did not answer within 20 s, powered off"
    assert domains.observe(task.host.libvirt) == ()


def test_stopped_guest_is_not_talked_to_on_its_old_connection(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task = make_task("a")
    guest = task.state.guest("a")
    old = task.hosts.guest(task.state, guest, host_key="ssh-ed25519 AAAA")

    stop_guests(task)

    new = task.hosts.guest(task.state, guest, host_key="ssh-ed25519 AAAA")
    assert new is not old


def test_cancelled_script_is_due_again(scripted: Rehearsal) -> None:
    scripted.up()
    scripted.down()
    guest = scripted.state.guest("a")
    scripted.break_(guest.domain, {f"{RUN} /tmp/testbed-a-run.py": {"sleep_s": 600}})
    scripted.events = _CancelAt("runs run.py", scripted.scope.cancel)

    outcomes = scripted.run(Command.UP)

    assert outcomes.of(Kind.RUN_SCRIPTS)["a"].status is Status.CANCELLED
    assert scripted.state.guest("a").markers.run_script == ""
    assert scripted.state.guest("a").markers != Markers()


class _CancelAt(list[object]):
    """Events, and a cancel as soon as a line of text is among them."""

    def __init__(self, text: str, cancel: Callable[[], None]) -> None:
        super().__init__()
        self._text = text
        self._cancel = cancel

    def append(self, event: object) -> None:
        super().append(event)
        if getattr(event, "text", "") == self._text:
            self._cancel()
