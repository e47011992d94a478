"""A cancelled command is over when its server says so, and no command runs twice."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest

from orchestration.errors import Cancelled
from orchestration.transport.base import Ended, Scope, command
from orchestration.transport.processes.ending import end_line
from orchestration.transport.ssh import SSHTransport
from orchestration.transport.ssh import ending as confirming
from orchestration.transport.ssh.connection import Wake
from orchestration.transport.ssh.ending import EndingQueue, run_ending
from orchestration.transport.ssh.link import Link
from orchestration.transport.ssh.session import Session
from tests.orchestration.transport.conftest import Server, carriers
from tests.waiting import wait_until

# A login shell that begins a command which says "late" after the first look for it.
LATE_SHELL = """#!/bin/sh
case "$2" in
*survivors*) /bin/sh "$@"; code=$?; touch {looked}; exit $code ;;
*late*) touch {asked}; until test -e {looked}; do sleep 0.05; done ;;
esac
exec /bin/sh "$@"
"""

Sinks = tuple[Callable[[bytes], None], Callable[[bytes], None]]


def drop(data: bytes) -> None:
    pass


def never() -> bool:
    return False


def test_command_that_begins_after_the_first_look_is_ended_too(
    make_server: Callable[..., Server], scope: Scope, tmp_path: Path
) -> None:
    asked, looked, shell = (tmp_path / name for name in ("asked", "looked", "shell"))
    shell.write_text(LATE_SHELL.format(asked=asked, looked=looked))
    shell.chmod(0o755)
    machine = make_server(shell=str(shell)).transport()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            machine.run, command("sh", "-c", "sleep 600; : late"), scope=scope
        )
        wait_until(asked.exists)
        scope.cancel()
        assert isinstance(running.exception(120), Cancelled)

    (proof,) = scope.ended
    assert proof.survivors == ()
    assert any("late" in process.name for process in proof.found)
    assert carriers(scope.tag) == []


def test_ending_survives_that_the_ended_command_costs_its_channel(
    dropbear: SSHTransport,
) -> None:
    """dropbear 2022.83 closes a channel on which nothing runs yet, or dies of it."""
    wake = Wake()
    opened = partial(dropbear.connection.open, wake, never)
    ended = Session(opened, wake, stdout=drop, stderr=drop)
    ended.start("read line", never)
    opened = partial(opened, beside=ended.link)

    @contextmanager
    def session(sinks: Sinks, is_late: Callable[[], bool]) -> Iterator[Session]:
        one = Session(opened, wake, stdout=sinks[0], stderr=sinks[1])
        ended.pump(iter(()), never, float("inf"))
        yield one
        one.close()

    line = end_line("nobody.has.this", 0.1, is_root=True)
    proof = run_ending("guest", line, session, grace_s=0.1, queue=EndingQueue())
    ended.close()

    assert proof == Ended("guest", (), ())


def test_ending_is_nobody_elses_risk(
    server: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[Link] = []
    open_channel = Link.open_command_channel

    def noted(link: Link, *limits: object) -> paramiko.Channel:
        links.append(link)
        return open_channel(link, *limits)

    monkeypatch.setattr(Link, "is_fragile", True)
    monkeypatch.setattr(Link, "open_command_channel", noted)
    machine, other = server.transport(), Scope("another.r1.b1.t1")

    def cancel_beside(*_: object) -> None:
        with pytest.raises(Cancelled):
            machine.run(
                command("sh", "-c", "echo runs; exec sleep 607"),
                scope=scope,
                on_line=lambda *_: scope.cancel(),
            )

    machine.run(command("echo", "runs"), scope=other, on_line=cancel_beside)

    mine, ended, ending = links
    assert ending is ended is not mine


def test_endings_wait_their_turn_while_the_machine_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(confirming, "time", SimpleNamespace(monotonic=lambda: now[0]))
    queue, deadline = EndingQueue(), 106.0

    now[0] = 105.0
    queue.note_answer()
    now[0] = 110.0
    still = queue.is_over(deadline)
    now[0] = 112.0

    assert not still
    assert queue.is_over(deadline)


def test_commands_side_by_side_all_run_and_each_once(
    dropbear: SSHTransport, scope: Scope, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def note(number: int) -> str:
        script = command("sh", "-c", f'echo {number} | tee -a "$0"', str(log))
        return dropbear.run(script, scope=scope).stdout

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(note, range(40)))

    assert told == [f"{number}\n" for number in range(40)]
    assert sorted(map(int, log.read_text().split())) == list(range(40))
