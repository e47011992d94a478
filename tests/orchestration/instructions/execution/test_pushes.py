"""A push to one guest: told as it goes, whole or not at all."""

import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    GuestUnreachable,
    HostUnreachable,
    NotEnoughSpace,
    PathOutside,
    StateError,
)
from orchestration.events import Status, TaskProgressed
from orchestration.instructions.execution.pushes import push_files
from orchestration.instructions.task import Task
from orchestration.plan.execution import Conditions, Execution, Form
from orchestration.project import packing
from orchestration.transport.base import Command, Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot.awaited_guest import OneGuest
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.tags import OWN_TAG
from tests.waiting import wait_until


@pytest.fixture
def task(rehearsal: Rehearsal, make_task: MakeTask, tmp_path: Path) -> Task:
    """A task in guest `a`, which is this machine, with a folder `tools` to push."""
    rehearsal.up()
    rehearsal.events.clear()
    task = make_task("a")
    (task.project.files / "tools").mkdir()
    (task.project.files / "tools" / "run").write_text("run")
    (task.project.files / "tools" / "big").write_bytes(bytes(3 * 1024 * 1024))
    hosts = OneGuest(tmp_path / "runtime", LocalTransport("a"))  # type: ignore[arg-type]
    return replace(task, scope=Scope(OWN_TAG), hosts=hosts)


def pushing(task: Task, path: str, target: Path | str, **more: object) -> Task:
    conditions = Conditions(**more)  # type: ignore[arg-type]
    wanted = Execution(
        Form.PUSH, "a", path=path, target=str(target), conditions=conditions
    )
    return replace(task, execution=wanted)


def test_folder_arrives_and_its_size_is_told(task: Task, tmp_path: Path) -> None:
    outcome = push_files(pushing(task, "tools", tmp_path / "to"))

    assert (tmp_path / "to" / "run").read_text() == "run"
    assert outcome.status is Status.DONE
    assert outcome.message == "2 files, 3.0 MiB, digest verified"


def test_progress_counts_the_bytes_of_the_files(
    task: Task, rehearsal: Rehearsal, tmp_path: Path
) -> None:
    asked = pushing(task, "tools", tmp_path / "to")
    push_files(asked)
    asked.close()

    told = [event for event in rehearsal.events if isinstance(event, TaskProgressed)]
    total = 3 * 1024 * 1024 + 3
    assert {event.total for event in told} == {total}
    assert (told[0].done, told[-1].done, told[-1].note) == (0, total, "push")


def test_file_that_is_not_there_is_named(task: Task, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no-such is not in the testbed's folder"):
        push_files(pushing(task, "no-such", tmp_path / "to"))


def test_guest_without_space_is_named_with_what_to_do(
    task: Task, tmp_path: Path
) -> None:
    full = Reply(stderr="tar: write error: No space left on device", exit_code=1)
    guest = FakeTransport("a", [(re.compile("sh -c .*", re.DOTALL), full)])
    tight = replace(task, hosts=OneGuest(tmp_path / "x", guest))

    with pytest.raises(NotEnoughSpace) as failure:
        push_files(pushing(tight, "tools", "/srv/tools"))

    assert failure.value.message == (
        "The file system of /srv/tools in guest a is full; nothing was kept."
    )
    assert failure.value.hint == "Free some space there and push it again."


@pytest.mark.parametrize("path", ["../state.json", "link", "/etc/passwd"])
def test_path_outside_the_testbeds_files_is_refused(
    task: Task, tmp_path: Path, path: str
) -> None:
    (task.project.files / "link").symlink_to("/etc/passwd")

    with pytest.raises(PathOutside):
        push_files(pushing(task, path, tmp_path / "to"))

    assert not (tmp_path / "to").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which becomes another user")
def test_user_without_the_right_gets_a_sentence_and_leaves_nothing(
    task: Task, tmp_path: Path
) -> None:
    with pytest.raises(CommandFailed) as failure:
        push_files(pushing(task, "tools", "/etc/testbed-to", user="nobody"))

    assert failure.value.message == (
        "Could not write /etc/testbed-to in guest a: permission denied."
    )
    assert "Choose root (sudo) or another user" in failure.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which becomes another user")
def test_files_belong_to_the_user_who_was_chosen(task: Task, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:2]:
        folder.chmod(folder.stat().st_mode | 0o755)

    push_files(pushing(task, "tools", tmp_path / "to", user="nobody"))

    assert (tmp_path / "to" / "run").owner() == "nobody"


def test_cancel_in_the_middle_leaves_no_half_file(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "guest"
    scope = task.scope
    parts: list[str] = []

    def cancel_when_half_is_there(_: packing.Packing) -> Iterator[bytes]:
        yield from pieces[: len(pieces) // 2]
        wait_until(lambda: any(place.glob(".to.*.part/content/big")))
        parts.extend(path.name for path in place.iterdir())
        scope.cancel()
        yield from pieces[len(pieces) // 2 :]

    pieces = list(packing.Packing(task.project.files / "tools").stream())
    monkeypatch.setattr(packing.Packing, "stream", cancel_when_half_is_there)
    with pytest.raises(Cancelled):
        push_files(pushing(task, "tools", place / "to"))

    assert len(parts) == 1
    assert list(place.iterdir()) == []
    assert not any(proof.survivors for proof in scope.ended)


def test_source_that_is_exchanged_while_it_is_sent_leaves_nothing(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: packing.Packing) -> Iterator[bytes]:
        yield bytes(pieces[0])
        raise StateError("tools became shorter while it was sent.")

    pieces = list(packing.Packing(task.project.files / "tools").stream())
    monkeypatch.setattr(packing.Packing, "stream", broken)
    with pytest.raises(StateError, match="became shorter"):
        push_files(pushing(task, "tools", tmp_path / "guest" / "to"))

    assert list((tmp_path / "guest").iterdir()) == []


def test_push_that_takes_too_long_leaves_nothing(
    task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_: packing.Packing) -> Iterator[bytes]:
        yield bytes(pieces[0])
        threading.Event().wait(1.2)
        yield from pieces[1:]

    pieces = list(packing.Packing(task.project.files / "tools").stream())
    monkeypatch.setattr(packing.Packing, "stream", slow)
    with pytest.raises(CommandTimedOut, match="was not copied to guest a within 1 s"):
        push_files(pushing(task, "tools", tmp_path / "guest" / "to", timeout_s=1))

    assert list((tmp_path / "guest").iterdir()) == []


def test_guest_that_is_lost_is_named(task: Task, tmp_path: Path) -> None:
    class Lost(FakeTransport):
        def run(self, cmd: Command, **options: object) -> None:  # type: ignore[override]
            raise HostUnreachable("The connection was lost.")

    lost = replace(task, hosts=OneGuest(tmp_path / "x", Lost("a")))

    with pytest.raises(GuestUnreachable, match="Guest a on host-a does not answer"):
        push_files(pushing(lost, "tools", "/srv/tools"))
