"""A command on a host itself: over the host's own connection, without its secrets."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.execution.answers import answer_lines
from orchestration.instructions.execution.on_hosts import run_on_host
from orchestration.instructions.task import Task
from orchestration.plan.execution import Conditions, Execution, Form, Targets
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.tags import OWN_TAG


@pytest.fixture
def task(make_task: MakeTask, tmp_path: Path) -> Task:
    """A task on host-a, which is this machine."""
    found = make_task("host-a")
    here = Host(found.host.state, LocalTransport("host-a"), found.host.libvirt)
    return replace(
        found,
        host=here,
        scope=Scope(OWN_TAG),
        answers=tmp_path / "answers" / "7",
    )


def running(task: Task, form: Form, *words: str, **more: object) -> Task:
    wanted = Execution(form, "host-a", words, targets=Targets.HOSTS, **more)  # type: ignore[arg-type]
    return replace(task, execution=wanted)


def lines_of(task: Task) -> list[str]:
    assert task.answers is not None
    return [text for _, text in answer_lines(task.answers / "host-a")]


def test_program_runs_on_the_host_and_its_answer_is_kept(task: Task) -> None:
    found = run_on_host(running(task, Form.SHELL, "echo here; exit 3"))

    assert (found.status, found.message) == (Status.FAILED, "exit code 3")
    assert lines_of(task) == ["here"]


def test_script_runs_on_the_host_and_leaves_no_file(task: Task) -> None:
    run_on_host(running(task, Form.SCRIPT, "a b", text='#!/bin/sh\necho "$1" "$0"\n'))

    argument, _, path = lines_of(task)[0].rpartition(" ")
    assert argument == "a b"
    assert not Path(path).exists()


def test_environment_of_the_worker_is_not_passed_on(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_SECRET_KEY", "confidential")
    conditions = Conditions(env={"GREETING": "two words"})

    run_on_host(running(task, Form.COMMAND, "env", conditions=conditions))

    names = {line.partition("=")[0] for line in lines_of(task)}
    assert "GREETING=two words" in lines_of(task)
    assert f"TESTBED_TAG={OWN_TAG}" in lines_of(task)
    assert "TESTBED_SECRET_KEY" not in names
    assert {"HOME", "PATH"} <= names


def test_command_lines_on_the_host_show_no_values(task: Task) -> None:
    conditions = Conditions(env={"KEY": "confidential"})
    ours = f'grep -lsz "^TESTBED_TAG={OWN_TAG}$" /proc/[0-9]*/environ'
    line = f'for f in $({ours}); do tr "\\0" " " < ${{f%environ}}cmdline; echo; done'

    run_on_host(running(task, Form.SHELL, line, conditions=conditions))

    assert any("tr " in words for words in lines_of(task))
    assert not any("confidential" in words for words in lines_of(task))
