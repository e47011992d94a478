"""A fetch from one guest: told as it goes, complete and verified or not at all."""

import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import (
    ArchiveRefused,
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    GuestUnreachable,
    HostUnreachable,
    NotEnoughSpace,
)
from orchestration.events import Status, TaskProgressed
from orchestration.instructions.execution.fetches import fetch_files
from orchestration.instructions.task import Task
from orchestration.plan.execution import Conditions, Execution, Form
from orchestration.project.fetched import Quota
from orchestration.providers.guest.copies import sending
from orchestration.providers.guest.copies.digest import LARGE_BYTES
from orchestration.transport.base import Command, Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot.awaited_guest import OneGuest
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.tags import OWN_TAG


class Guest(LocalTransport):
    """This machine with some guest's tools."""

    def __init__(self, path: str) -> None:
        super().__init__("a")
        self.path = path

    def run(self, cmd: Command, **options: object) -> Completed:  # type: ignore[override]
        cmd = replace(cmd, env={**cmd.env, "PATH": self.path})
        return super().run(cmd, **options)  # type: ignore[arg-type]


@pytest.fixture(params=["gnu", "busybox"])
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "gnu":
        return os.environ["PATH"]
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    folder = tmp_path / "tools"
    folder.mkdir()
    subprocess.run([busybox, "--install", "-s", str(folder)], check=True)
    return str(folder)


@pytest.fixture
def task(rehearsal: Rehearsal, make_task: MakeTask, tmp_path: Path, tools: str) -> Task:
    """A task in guest `a`, which is this machine."""
    rehearsal.up()
    rehearsal.events.clear()
    task = make_task("a")
    return replace(
        task,
        scope=Scope(OWN_TAG),
        hosts=OneGuest(tmp_path / "runtime", Guest(tools)),  # type: ignore[arg-type]
        fetched=task.project.fetched(7),
        quota=Quota(spare_bytes=0),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "guest" / "var log"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "-odd\nname").write_text("odd")
    (folder / "big").write_bytes(os.urandom(2 * 1024 * 1024))
    os.utime(folder / "big", (1_000_000_000, 1_000_000_000))
    return folder


def fetching(task: Task, path: Path | str, **more: object) -> Task:
    conditions = Conditions(**more)  # type: ignore[arg-type]
    wanted = Execution(Form.FETCH, "a", path=str(path), conditions=conditions)
    return replace(task, execution=wanted)


def arrived(task: Task) -> list[str]:
    folder = task.project.fetched(7)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_folder_arrives_whole_with_its_times(task: Task, source: Path) -> None:
    outcome = fetch_files(fetching(task, f"{source}/"))

    folder = task.project.fetched(7) / "a" / "var log"
    assert outcome.status is Status.DONE
    assert outcome.message == "2 files, 2.0 MiB, digest verified"
    assert (folder / "sub" / "-odd\nname").read_text() == "odd"
    assert (folder / "big").read_bytes() == (source / "big").read_bytes()
    assert (folder / "big").stat().st_mtime == 1_000_000_000


def test_large_file_is_verified_by_the_program_that_the_guest_has(
    task: Task, source: Path
) -> None:
    large = source / "large"
    large.write_bytes(os.urandom(1024 * 1024) * (1 + LARGE_BYTES // 1024**2))

    outcome = fetch_files(fetching(task, large))

    assert outcome.message == "1 file, 17.0 MiB, digest verified"
    arrived = task.project.fetched(7) / "a" / "large"
    assert arrived.read_bytes() == large.read_bytes()


def test_file_arrives_also_through_a_link(task: Task, source: Path) -> None:
    (source / "link").symlink_to("big")

    fetch_files(fetching(task, source / "link"))

    found = task.project.fetched(7) / "a" / "link"
    assert found.read_bytes() == (source / "big").read_bytes()


def test_progress_is_told(task: Task, source: Path, rehearsal: Rehearsal) -> None:
    asked = fetching(task, source)
    fetch_files(asked)
    asked.close()

    told = [event for event in rehearsal.events if isinstance(event, TaskProgressed)]
    assert told[-1].done == 2 * 1024 * 1024 + 3
    assert told[-1].total >= told[-1].done


def test_links_are_left_out_and_said(task: Task, source: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")

    outcome = fetch_files(fetching(task, source))

    assert outcome.status is Status.WARNING
    assert outcome.message == (
        "2 files, 2.0 MiB, digest verified; left out: 1 symbolic link"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/no/such", "There is no /no/such in guest a, or the user may not see it."),
        ("/dev/null", "/dev/null in guest a is neither a file nor a folder."),
    ],
)
def test_path_that_cannot_be_fetched_is_named(
    task: Task, path: str, message: str
) -> None:
    with pytest.raises(CommandFailed) as failure:
        fetch_files(fetching(task, path))

    assert failure.value.message == message
    assert arrived(task) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which becomes another user")
def test_file_that_the_user_may_not_read_is_told_and_nothing_kept(
    task: Task, source: Path
) -> None:
    for folder in source.parents[:4]:
        folder.chmod(folder.stat().st_mode | 0o755)
    (source / "big").chmod(0o600)

    with pytest.raises(CommandFailed) as failure:
        fetch_files(fetching(task, source, user="nobody"))

    assert "Could not read all of" in failure.value.message
    assert "Choose root (sudo) or another user" in failure.value.hint
    assert arrived(task) == []


def test_more_than_the_quota_is_refused_and_ended(task: Task, source: Path) -> None:
    little = replace(task, quota=Quota(size_bytes=1024 * 1024, spare_bytes=0))

    with pytest.raises(NotEnoughSpace, match=r"would take more than 1\.0 MiB"):
        fetch_files(fetching(little, source))

    assert arrived(task) == []
    assert not any(proof.survivors for proof in task.scope.ended)


def test_cancel_discards_what_arrived(
    task: Task, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = sending.SEND.replace('tar -c -f - "$@"', 'tar -c -f - "$@"; sleep 60')
    monkeypatch.setattr(sending, "SEND", slow)
    part = task.project.fetched(7) / ".a.part" / "var log" / "big"

    class Stop:
        """Cancels as soon as something arrived."""

        has_come = False

        def is_set(self) -> bool:
            self.has_come |= part.exists() and part.stat().st_size > 0
            return self.has_come

        def set(self) -> None: ...

        def wait(self, timeout: float | None = None) -> bool:
            return self.is_set()

    task.scope.stop = Stop()  # type: ignore[assignment]
    with pytest.raises(Cancelled):
        fetch_files(fetching(task, source))

    assert arrived(task) == []
    assert task.scope.ended
    assert not any(proof.survivors for proof in task.scope.ended)


def test_endless_guest_is_ended_in_time(
    task: Task, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = sending.SEND.replace('tar -c -f - "$@"', "sleep 60")
    monkeypatch.setattr(sending, "SEND", slow)

    with pytest.raises(CommandTimedOut, match="did not arrive within 1 s"):
        fetch_files(fetching(task, source, timeout_s=1))

    assert arrived(task) == []


def test_damaged_stream_is_not_kept(
    task: Task, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = sending.SEND.replace('| digest "$kib"', "| { cat; echo; } | sha256sum")
    monkeypatch.setattr(sending, "SEND", wrong)

    with pytest.raises(CommandFailed, match="from guest a is damaged; nothing was"):
        fetch_files(fetching(task, source))

    assert arrived(task) == []


def fake(task: Task, tmp_path: Path, reply: Reply | HostUnreachable) -> Task:
    guest = FakeTransport("a", [(re.compile("sh -c .*", re.DOTALL), reply)])
    return replace(task, hosts=OneGuest(tmp_path / "x", guest))


def test_guest_that_sends_no_archive_is_named(task: Task, tmp_path: Path) -> None:
    liar = fake(task, tmp_path, Reply(stdout="x" * 1024))

    with pytest.raises(ArchiveRefused) as refused:
        fetch_files(fetching(liar, "/srv"))

    assert refused.value.message == (
        "Guest a sent an archive that is not taken, with a header that is none; "
        "nothing was kept."
    )


def test_guest_that_is_lost_is_named(task: Task, tmp_path: Path) -> None:
    lost = fake(task, tmp_path, HostUnreachable("The connection was lost."))

    with pytest.raises(GuestUnreachable, match="Guest a on host-a does not answer"):
        fetch_files(fetching(lost, "/srv"))
