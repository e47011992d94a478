"""A program in one guest: its answer is kept whole, its end is told as it was."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.errors import (
    GuestUnreachable,
    HostUnreachable,
    PathOutside,
    StateError,
)
from orchestration.events import Answer, Event, LogLine, Status, Stream
from orchestration.instructions.execution import programs
from orchestration.instructions.execution.answers import AnswerFile, answer_lines
from orchestration.instructions.execution.programs import MOST_SCRIPT_BYTES, run_program
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.execution import Conditions, Execution, Form
from orchestration.state.model import GuestState, HostKind, State
from orchestration.transport.agent import AgentTransport
from orchestration.transport.base import Command, Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport
from tests.orchestration.instructions.boot.awaited_guest import OneGuest
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.transport.guest_agent import Agent
from tests.tags import OWN_TAG

Run = Callable[..., Outcome]


class Guest(OneGuest):
    """Hosts that lead to this machine as the one guest."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, LocalTransport("a"))  # type: ignore[arg-type]


@pytest.fixture
def task(rehearsal: Rehearsal, make_task: MakeTask, tmp_path: Path) -> Task:
    """A task in guest `a`, whose programs run on this machine."""
    rehearsal.up()
    rehearsal.events.clear()
    return replace(
        make_task("a"),
        scope=Scope(OWN_TAG),
        hosts=Guest(tmp_path / "runtime"),
        answers=tmp_path / "answers" / "7",
    )


def running(task: Task, form: Form, *words: str, **more: Any) -> Task:
    wanted = Execution(form, "a", words, **more)
    return replace(task, execution=wanted)


def answer_of(task: Task) -> list[tuple[Stream, str]]:
    assert task.answers is not None
    return list(answer_lines(task.answers / "a"))


def test_answer_keeps_both_streams_apart_and_in_order(task: Task) -> None:
    line = "echo one; sleep 0.2; echo two >&2; sleep 0.2; printf three"

    found = run_program(running(task, Form.SHELL, line))

    assert answer_of(task) == [
        (Stream.STDOUT, "one"),
        (Stream.STDERR, "two"),
        (Stream.STDOUT, "three"),
    ]
    assert found.status is Status.DONE
    assert found.answer is not None
    assert (found.answer.exit_code, found.answer.lines) == (0, 3)


def test_equal_outputs_have_equal_digests(task: Task) -> None:
    def digest(line: str) -> str:
        answer = run_program(running(task, Form.SHELL, line)).answer
        assert answer is not None
        return answer.digest

    assert digest("echo same") == digest("printf 'same\\n'")
    assert digest("echo same") != digest("echo same >&2")


def test_order_between_the_streams_makes_no_other_output(tmp_path: Path) -> None:
    lines = [(Stream.STDOUT, "one"), (Stream.STDERR, "odd")]

    def digest(name: str, order: int) -> str:
        file = AnswerFile(tmp_path / "answers" / "7" / name, budget_bytes=1000)
        for stream, text in lines[::order]:
            file.add(stream, text)
        return file.close(0).digest

    assert digest("a", 1) == digest("b", -1)


@pytest.mark.parametrize(
    ("line", "exit_code", "message"),
    [
        ("exit 1", 1, "exit code 1"),
        ("exit 200", 200, "exit code 200"),
        ("no-such-program", 127, "exit code 127: the program was not found"),
        ("/etc/passwd", 126, "exit code 126: it cannot be run"),
        ("kill -KILL $$", 137, "exit code 137: ended by SIGKILL"),
        ("kill -TERM $$", 143, "exit code 143: ended by SIGTERM"),
    ],
)
def test_program_that_does_not_succeed_is_a_failure_that_says_how(
    task: Task, line: str, exit_code: int, message: str
) -> None:
    found = run_program(running(task, Form.COMMAND, "sh", "-c", line))

    assert (found.status, found.message) == (Status.FAILED, message)
    assert found.answer is not None
    assert found.answer.exit_code == exit_code


def test_program_that_takes_too_long_is_ended_and_its_output_kept(task: Task) -> None:
    wanted = running(
        task, Form.SHELL, "echo begun; sleep 60", conditions=Conditions(timeout_s=1)
    )

    found = run_program(wanted)

    assert found.status is Status.FAILED
    assert found.message == "did not end within 1 s and was ended"
    assert found.answer is not None
    assert found.answer.exit_code is None
    assert answer_of(task) == [(Stream.STDOUT, "begun")]


class Unreached(FakeTransport):
    """A guest that takes a connection and says nothing."""

    def run(self, cmd: Command, *, scope: Scope, **_: Any) -> Completed:
        scope.sleep(60)
        raise AssertionError("nobody stopped waiting")


def test_guest_that_is_not_reached_in_time_says_that_nothing_was_begun(
    task: Task, tmp_path: Path
) -> None:
    unreached = replace(
        running(task, Form.COMMAND, "true", conditions=Conditions(timeout_s=1)),
        hosts=OneGuest(tmp_path / "other", Unreached("a")),
    )

    found = run_program(unreached)

    assert found.status is Status.FAILED
    assert found.message == "was not reached within 1 s: nothing was begun"


def test_pasted_script_runs_with_its_arguments_and_leaves_no_file(task: Task) -> None:
    text = '#!/bin/sh\r\necho "$1"\r\necho "$0"\r\n'

    run_program(running(task, Form.SCRIPT, "a b", text=text))

    (_, argument), (_, path) = answer_of(task)
    assert argument == "a b"
    assert not Path(path).exists()


def test_script_of_the_testbed_runs_as_it_is_now(task: Task) -> None:
    (task.project.files / "tools").mkdir()
    (task.project.files / "tools" / "x.py").write_text(
        "#!/usr/bin/env python3\nprint('from python')\n"
    )

    run_program(running(task, Form.SCRIPT, path="tools/x.py"))

    assert answer_of(task) == [(Stream.STDOUT, "from python")]


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("x.py", "x.py"),
        ("deux mots\u202e'$(x)\n.sh", "deux_mots_x_.sh"),
        ("é" * 100 + ".sh", "_.sh"),
        ("long-" * 45 + "name.py", "ng-" + "long-" * 6 + "name.py"),
    ],
)
def test_script_gets_a_short_and_plain_name_in_the_guest(
    task: Task, name: str, there: str
) -> None:
    (task.project.files / name).write_text('#!/bin/sh\necho "$0"\n')

    run_program(running(task, Form.SCRIPT, path=name))

    [(_, path)] = answer_of(task)
    assert path.partition("-")[2].partition("-")[2] == there


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("tools", StateError, "tools is a folder of the testbed, and no script."),
        ("../state.json", PathOutside, "leaves the testbed's folder."),
        ("/etc/passwd", PathOutside, "leaves the testbed's folder."),
    ],
)
def test_script_that_is_no_file_of_the_testbed_is_refused(
    task: Task, path: str, error: type[Exception], message: str
) -> None:
    (task.project.files / "tools").mkdir()

    with pytest.raises(error, match=message):
        run_program(running(task, Form.SCRIPT, path=path))


def test_script_that_is_gone_is_named(task: Task) -> None:
    with pytest.raises(StateError, match=r"The script tools/x\.py is not in"):
        run_program(running(task, Form.SCRIPT, path="tools/x.py"))


def test_script_that_would_fill_the_memory_is_refused(task: Task) -> None:
    with (task.project.files / "disk.raw").open("wb") as file:
        file.truncate(MOST_SCRIPT_BYTES + 1)

    with pytest.raises(StateError, match=r"disk\.raw has more than 8\.0 MiB"):
        run_program(running(task, Form.SCRIPT, path="disk.raw"))


def test_output_above_the_budget_is_cut_visibly(task: Task) -> None:
    little = replace(task, log_bytes=10_000)

    found = run_program(running(little, Form.SHELL, "seq 100000"))

    assert found.answer is not None
    assert found.answer.is_cut
    lines = answer_of(task)
    assert lines[0] == (Stream.STDOUT, "1")
    assert lines[-1] == (Stream.STDOUT, "100000")
    assert any("Cut here" in text for stream, text in lines if stream is Stream.INFO)
    assert len(lines) < 1000


def test_log_shows_a_part_and_the_answer_everything(
    task: Task, rehearsal: Rehearsal
) -> None:
    found = run_program(running(task, Form.SHELL, "seq 10000"))
    task.close()

    logged = [event for event in rehearsal.events if isinstance(event, LogLine)]
    assert found.answer is not None
    assert found.answer.lines == 10_000
    assert 100 < len(logged) < 1000


def test_tool_is_followed_in_the_log_beyond_the_first_part(
    task: Task, rehearsal: Rehearsal
) -> None:
    limits = Conditions(timeout_s=0)
    tool = running(task, Form.SHELL, "seq 10000", tool=True, conditions=limits)

    run_program(tool)

    assert sum(isinstance(event, LogLine) for event in rehearsal.events) == 10_000


def test_cancelled_program_is_ended_and_leaves_its_answer_and_no_script(
    task: Task, tmp_path: Path
) -> None:
    where, scope = tmp_path / "where", task.scope
    script = f'#!/bin/sh\necho "$0" > {where}\necho begun\nsleep 60\n'

    def cancel_when_begun(event: Event) -> None:
        if isinstance(event, LogLine) and event.text == "begun":
            scope.cancel()

    task = replace(task, sink=cancel_when_begun)
    wanted = running(task, Form.SCRIPT, text=script)

    found = run_program(wanted)

    assert found.status is Status.CANCELLED
    assert found.answer is not None
    assert (found.answer.exit_code, found.answer.lines) == (None, 1)
    assert answer_of(task) == [(Stream.STDOUT, "begun")]
    assert scope.ended
    assert not any(proof.survivors for proof in scope.ended)
    assert not Path(where.read_text().strip()).exists()


def test_guest_that_does_not_answer_fails_at_once(task: Task, tmp_path: Path) -> None:
    silent = FakeTransport("a", [("true", HostUnreachable("a cannot be reached."))])
    wanted = running(
        replace(task, hosts=OneGuest(tmp_path / "x", silent)), Form.COMMAND, "true"
    )

    with pytest.raises(GuestUnreachable, match="Guest a on host-a does not answer: a"):
        run_program(wanted)


def test_answer_says_what_the_file_holds(task: Task) -> None:
    answer = run_program(running(task, Form.SHELL, "echo ab; echo c")).answer

    assert isinstance(answer, Answer)
    assert (answer.size_bytes, answer.lines, answer.is_cut) == (5, 2, False)


class Reachable(OneGuest):
    """Hosts whose guest has SSH, as `transport` says, and perhaps an agent."""

    def __init__(self, folder: Path, ssh: FakeTransport, found: Agent | None) -> None:
        super().__init__(folder, ssh)
        self.found = found

    def agent(self, state: State, guest: GuestState) -> AgentTransport:
        return AgentTransport(self.found.ask if self.found else no_agent, guest.name)


def no_agent(name: str, arguments: Mapping[str, object]) -> object:
    raise HostUnreachable("No QEMU guest agent answers in guest a.")


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    yield agent
    agent.end()


def with_ways(task: Task, folder: Path, found: Agent | None) -> Task:
    """Let SSH into the guest fail before anything was sent."""
    silent = FakeTransport("a", [("echo hi", HostUnreachable("a cannot be reached."))])
    return replace(task, hosts=Reachable(folder / "x", silent, found))


def without_key(task: Task, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Make the guest's host real, and let the guest report no host key."""
    monkeypatch.setattr(programs, "known_key", lambda *_: "")
    hosts = (
        host.model_copy(update={"kind": HostKind.REAL}) for host in task.state.hosts
    )
    state = task.state.model_copy(update={"hosts": tuple(hosts)})
    return replace(task, state=state, host=replace(task.host, state=state.hosts[0]))


def without_login(task: Task) -> Task:
    guests = [g.model_copy(update={"seed": ""}) for g in task.state.guests]
    state = task.state.model_copy(update={"guests": tuple(guests)})
    return replace(task, state=state)


def test_guest_without_network_answers_through_its_agent(
    task: Task, tmp_path: Path, agent: Agent
) -> None:
    cut_off = with_ways(task, tmp_path, agent)

    found = run_program(running(cut_off, Form.COMMAND, "echo", "hi"))

    assert found.status is Status.DONE
    assert found.answer is not None
    assert found.answer.by_agent
    assert answer_of(task) == [(Stream.STDOUT, "hi")]


def test_guest_whose_host_key_is_not_known_answers_through_its_agent(
    task: Task, tmp_path: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = without_key(with_ways(task, tmp_path, agent), monkeypatch)

    run_program(running(unknown, Form.COMMAND, "echo", "hi"))

    assert answer_of(task) == [(Stream.STDOUT, "hi")]


def test_guest_whose_host_key_and_agent_are_missing_is_told_both(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = without_key(with_ways(task, tmp_path, None), monkeypatch)

    with pytest.raises(GuestUnreachable, match="has not reported") as caught:
        run_program(running(unknown, Form.COMMAND, "echo", "hi"))

    assert "its console. No QEMU guest agent answers in it" in caught.value.hint


def test_program_that_may_have_begun_over_ssh_is_not_begun_again(
    task: Task, tmp_path: Path, agent: Agent
) -> None:
    cut_off = with_ways(task, tmp_path, agent)
    assert isinstance(cut_off.hosts, Reachable)
    cut_off.scope.entered.add(cut_off.hosts.transport)

    with pytest.raises(GuestUnreachable, match="a cannot be reached"):
        run_program(running(cut_off, Form.COMMAND, "echo", "hi"))

    assert agent.commands == []


def test_guest_without_a_login_has_its_agent(
    task: Task, tmp_path: Path, agent: Agent
) -> None:
    foreign = without_login(with_ways(task, tmp_path, agent))

    run_program(running(foreign, Form.SCRIPT, "x", text="#!/bin/sh\necho $1\n"))

    assert answer_of(task) == [(Stream.STDOUT, "x")]


def test_guest_without_login_and_agent_is_told_what_to_do(
    task: Task, tmp_path: Path
) -> None:
    foreign = without_login(with_ways(task, tmp_path, None))

    with pytest.raises(GuestUnreachable, match="No QEMU guest agent answers"):
        run_program(running(foreign, Form.COMMAND, "echo", "hi"))
