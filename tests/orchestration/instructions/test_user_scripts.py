"""A user's script in a guest that restarts under it."""

import re
from collections.abc import Callable

import pytest

from orchestration.errors import GuestUnreachable, HostUnreachable
from orchestration.instructions import user_scripts
from orchestration.instructions.task import Task
from orchestration.instructions.user_scripts import MAX_RESTARTS, run_user_script
from orchestration.state.model import ScriptState
from tests.fakes import Answer, FakeTransport
from tests.orchestration.instructions.rehearsal import Rehearsal

RUN = re.compile(r"sh -s -- /etc/nocloud/script-run /tmp/testbed-a-setup\.sh /bin/sh")
LOOK = re.compile(r"sh -c .* look /etc/nocloud/script-run /tmp/.*", re.DOTALL)
LOST = HostUnreachable("The connection to a was lost.")
SETUP = ScriptState(path="setup.sh")


def says(boot: str, ran: str = "", system: str = "running") -> str:
    """Return the record as a guest prints it."""
    return f"boot {boot}\nsystem {system}\nran {ran}\n"


def guest(runs: list[Answer], looks: list[Answer]) -> FakeTransport:
    return FakeTransport("a", [(RUN, a) for a in runs] + [(LOOK, a) for a in looks])


@pytest.fixture
def task(
    rehearsal: Rehearsal,
    make_task: Callable[..., Task],
    monkeypatch: pytest.MonkeyPatch,
) -> Task:
    """A task whose guest is reachable as soon as somebody waits for it."""
    (rehearsal.project.files / "setup.sh").write_text("#!/bin/sh\nreboot\n")
    monkeypatch.setattr(user_scripts, "wait_until_reachable", lambda *_: None)
    monkeypatch.setattr(user_scripts, "LOOK_EVERY_S", 0.0)
    return make_task("a")


def restarts(there: FakeTransport) -> list[str]:
    """The count of restarts that each run of the script was told."""
    return [c.env["TESTBED_RESTARTS"] for c in there.calls if RUN.fullmatch(str(c))]


def test_script_that_ends_with_a_restart_counts_as_ended(task: Task) -> None:
    there = guest([LOST], [LOST, says("2", "1 0")])

    exit_code = run_user_script(task, there, SETUP)

    assert exit_code == 0
    assert restarts(there) == ["0"]


def test_guest_that_is_about_to_restart_is_waited_for(task: Task) -> None:
    stopping = says("1", "1 0", system="stopping")
    there = guest([0], [stopping, stopping, LOST, says("2", "1 0")])

    exit_code = run_user_script(task, there, SETUP)

    assert exit_code == 0
    assert there.unused == []


def test_script_that_a_restart_cut_off_runs_again_and_is_told(
    task: Task, rehearsal: Rehearsal
) -> None:
    there = guest([LOST, 0], [says("2", "1 143"), says("2", "2 0")])

    exit_code = run_user_script(task, there, SETUP)

    assert exit_code == 0
    assert restarts(there) == ["0", "1"]
    assert "the guest restarted before setup.sh ended" in rehearsal.lines("a")


def test_script_that_always_restarts_its_guest_is_given_up(task: Task) -> None:
    there = guest([LOST], [says("2", "1 143")])

    with pytest.raises(GuestUnreachable) as caught:
        run_user_script(task, there, SETUP)

    assert len(restarts(there)) == MAX_RESTARTS + 1
    assert "restarted 4 times before setup.sh ended" in caught.value.message
    assert "$TESTBED_RESTARTS is 0" in caught.value.hint
    assert not caught.value.retryable


def test_script_that_ended_while_the_connection_was_lost_has_its_exit_code(
    task: Task,
) -> None:
    there = guest([LOST], [says("1", "1"), says("1", "1 3")])

    assert run_user_script(task, there, SETUP) == 3


def test_guest_that_neither_restarts_nor_says_how_it_ended_is_lost(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_scripts, "RESTART_TIMEOUT_S", 0.0)
    there = guest([LOST], [says("1", "1")])

    with pytest.raises(GuestUnreachable) as caught:
        run_user_script(task, there, SETUP)

    assert "was lost while setup.sh ran" in caught.value.message
    assert caught.value.detail == "The connection to a was lost."


def test_script_that_fails_is_not_repeated(task: Task) -> None:
    there = guest([3], [says("1", "1 3")])

    assert run_user_script(task, there, SETUP) == 3
    assert restarts(there) == ["0"]


def test_script_with_a_long_name_gets_a_short_and_plain_one(task: Task) -> None:
    name = f"{'été-' * 40}.sh"
    (task.project.files / name).write_text("#!/bin/sh\n")
    run = re.compile(r"sh -s -- /etc/nocloud/script-run (/tmp/\S+) /bin/sh")
    there = FakeTransport("a", [(run, 0), (LOOK, says("1", "1 0"))])

    run_user_script(task, there, ScriptState(path=name))

    [place] = there.files
    assert re.fullmatch(r"/tmp/testbed-a-[_t-]{37}\.sh", place)
