"""A script's processes stay in its control group, whose removal is a proof.

Real processes in the groups of this machine's kernel, reached here and over SSH.
"""

import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import Cancelled
from orchestration.transport.base import Command, Ended, Scope, Transport
from orchestration.transport.local import LocalTransport
from orchestration.transport.processes import groups
from orchestration.transport.processes.ending import end_here, end_line, parse_ended
from tests.orchestration.transport.processes.test_ending import free_mark, sleepers
from tests.orchestration.transport.shell import sh
from tests.waiting import wait_until

needs_groups = pytest.mark.skipif(
    os.geteuid() != 0
    or not any((top / "cgroup.controllers").exists() for top in groups.TOPS),
    reason="needs root and cgroup v2",
)
# A daemon without the mark, without a parent, in a session of its own.
ESCAPE = "(env -i setsid sleep {mark} >/dev/null 2>&1 &)"
BOMB = """\
trap '' TERM
while :; do (env -i setsid sleep {mark} >/dev/null 2>&1 &); sleep 0.01; done
"""


def grouped(script: str) -> Command:
    return replace(sh(script), grouped=True)


def cancelled(machine: Transport, cmd: Command, scope: Scope, mark: int) -> Ended:
    """Run a command, cancel it when its daemon runs, and return the proof."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(machine.run, cmd, scope=scope)
        wait_until(lambda: sleepers(mark))
        scope.cancel()
        assert isinstance(running.exception(120), Cancelled)
    (proof,) = scope.ended
    return proof


def kill_sleepers(mark: int) -> list[int]:
    """End what escaped; return who it was."""
    pids = sleepers(mark)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    return pids


@needs_groups
def test_daemon_without_mark_and_parents_ends_with_its_script(
    machine: Transport, scope: Scope
) -> None:
    mark = free_mark()
    script = grouped(f"{ESCAPE.format(mark=mark)}\nsleep 600")

    proof = cancelled(machine, script, scope, mark)

    assert sleepers(mark) == []
    assert f"sleep {mark}" in {process.name for process in proof.found}
    assert proof.by_group
    assert proof.survivors == ()
    assert groups.find_groups(scope.tag) == set()


def test_command_without_a_group_claims_no_more_than_its_mark(
    machine: Transport, scope: Scope
) -> None:
    mark = free_mark()
    script = sh(f"{ESCAPE.format(mark=mark)}\nsleep 600")

    proof = cancelled(machine, script, scope, mark)

    assert len(kill_sleepers(mark)) == 1
    assert proof.by_group is None


@needs_groups
@pytest.mark.parametrize("kills", [True, False], ids=["cgroup.kill", "older kernel"])
@pytest.mark.parametrize("is_here", [True, False], ids=["here", "script"])
def test_group_that_forks_faster_than_it_is_read_ends(
    scope: Scope, monkeypatch: pytest.MonkeyPatch, kills: bool, is_here: bool
) -> None:
    mark = free_mark()
    words = [*groups.entering(scope.tag), "sh", "-c", BOMB.format(mark=mark)]
    bomb = subprocess.Popen(words, env={**os.environ, "TESTBED_TAG": scope.tag})
    wait_until(lambda: len(sleepers(mark)) > 5)

    line = end_line(scope.tag, 0.1, is_root=True)
    if not kills:
        monkeypatch.setattr(groups, "KILL", "cgroup.absent")
        line = line.replace("cgroup.kill", "cgroup.absent")
    if is_here:
        proof = end_here("main", scope.tag, 0.1)
    else:
        said = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
        proof = parse_ended("main", said.stdout)
    bomb.wait()

    assert kill_sleepers(mark) == []
    assert proof.by_group
    assert proof.survivors == ()


@needs_groups
def test_server_that_a_good_script_leaves_stays_until_it_is_ended(
    machine: Transport, scope: Scope
) -> None:
    mark = free_mark()

    machine.run(grouped(ESCAPE.format(mark=mark)), scope=scope)
    (pid,) = wait_until(lambda: sleepers(mark))
    proof = machine.end(scope.tag)

    assert [process.pid for process in proof.found] == [pid]
    assert proof.by_group
    assert sleepers(mark) == []


@needs_groups
def test_group_of_a_script_that_leaves_nothing_is_gone(
    machine: Transport, scope: Scope
) -> None:
    done = machine.run(
        grouped("cat /proc/self/cgroup; exit 3"), scope=scope, check=False
    )

    assert f"/{groups.FOLDER}/{scope.tag}\n" in done.stdout
    assert done.exit_code == 3
    assert groups.find_groups(scope.tag) == set()
    assert machine.end(scope.tag).by_group is None


@needs_groups
def test_end_of_one_task_spares_the_group_of_another(scope: Scope) -> None:
    here, mark = LocalTransport(), free_mark()
    near, far = Scope(f"{scope.tag}.1"), Scope(f"{scope.tag}.10")
    for one in (near, far):
        here.run(grouped(ESCAPE.format(mark=mark)), scope=one)
    wait_until(lambda: len(sleepers(mark)) == 2)

    assert len(here.end(near.tag).found) == 1
    assert len(sleepers(mark)) == 1
    assert len(here.end(scope.tag).found) == 1


@pytest.mark.parametrize("code", [0, 7])
def test_command_runs_without_a_group_where_there_are_none(
    tmp_path: Path, code: int
) -> None:
    words = groups.entering("lab.r1.b2.t3")
    words[2] = words[2].replace("/sys/fs/cgroup", str(tmp_path))
    program = shutil.which("sh") or ""

    done = subprocess.run(
        [*words, program, "-c", f"echo runs; exit {code}"],
        capture_output=True,
        text=True,
    )

    assert (done.stdout, done.stderr, done.returncode) == ("runs\n", "", code)
