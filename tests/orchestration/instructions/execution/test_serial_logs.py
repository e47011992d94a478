"""A serial log comes from the guest's host: whole and bounded, or not at all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    NotEnoughSpace,
)
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.execution.serial_logs import fetch_serial_logs
from orchestration.instructions.task import Task
from orchestration.plan.execution import Conditions, Execution, Form, parse_execution
from orchestration.plan.lifecycle import plan_exec
from orchestration.plan.model import Kind
from orchestration.project.fetched import Quota
from orchestration.providers.guest import console
from orchestration.transport.base import Command, Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.tags import OWN_TAG

LINES = b"\x1b[2JBooting\r\n\xff\x00login: "
MakeLog = Callable[[], Path]


class Here(LocalTransport):
    """This machine as host, whose programs run as the test's user."""

    def run(self, cmd: Command, **options: object) -> Completed:  # type: ignore[override]
        return super().run(replace(cmd, as_root=False), **options)  # type: ignore[arg-type]


@pytest.fixture
def task(make_task: MakeTask, tmp_path: Path) -> Task:
    """A task that fetches the log of guest `a`, whose host is this machine."""
    task = make_task("a")
    guest = task.state.guest("a").model_copy(
        update={"console": str(tmp_path / "a-console.log")}
    )
    guests = (guest, *task.state.guests[1:])
    return replace(
        task,
        state=task.state.model_copy(update={"guests": guests}),
        host=Host(task.host.state, Here("host-a"), task.host.libvirt),
        scope=Scope(OWN_TAG),
        execution=Execution(Form.SERIAL_LOG, "a"),
        fetched=task.project.fetched(7),
        quota=Quota(spare_bytes=0),
    )


def log_of(task: Task, content: bytes, part: str = "") -> None:
    Path(f"{task.state.guest('a').console}{part}").write_bytes(content)


def kept(task: Task) -> list[Path]:
    assert task.fetched is not None
    return [path for path in task.fetched.rglob("*") if path.is_file()]


def test_log_arrives_byte_for_byte(task: Task) -> None:
    log_of(task, LINES)

    outcome = fetch_serial_logs(task)

    assert outcome.status is Status.DONE
    assert outcome.message == f"{len(LINES)} B of its serial log"
    (path,) = kept(task)
    assert path.name == "a-serial.log"
    assert path.read_bytes() == LINES
    assert path.stat().st_mode & 0o777 == 0o600


def test_parts_that_were_cut_off_come_first(task: Task) -> None:
    log_of(task, b"newest")
    log_of(task, b"first ", ".1")
    log_of(task, b"second ", ".0")

    fetch_serial_logs(task)

    assert kept(task)[0].read_bytes() == b"first second newest"


def test_host_without_the_log_is_named_and_nothing_is_kept(task: Task) -> None:
    with pytest.raises(CommandFailed) as caught:
        fetch_serial_logs(task)

    assert "Could not read the serial log of guest a on host-a" in caught.value.message
    assert "No such file" in caught.value.detail
    assert kept(task) == []


def test_log_over_the_quota_is_refused_and_not_kept(task: Task) -> None:
    log_of(task, b"x" * 200_000)
    task = replace(task, quota=Quota(size_bytes=100_000, spare_bytes=0))

    with pytest.raises(NotEnoughSpace):
        fetch_serial_logs(task)

    assert kept(task) == []


def test_log_that_never_ends_is_left_after_its_time(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "_WHOLE", "cat /dev/zero | head -c 4096; sleep 60")
    wanted = Execution(Form.SERIAL_LOG, "a", conditions=Conditions(timeout_s=1))

    with pytest.raises(CommandTimedOut, match="did not arrive within 1 s"):
        fetch_serial_logs(replace(task, execution=wanted))

    assert kept(task) == []


def test_cancel_keeps_nothing(task: Task) -> None:
    log_of(task, LINES)
    task.scope.cancel()

    with pytest.raises(Cancelled):
        fetch_serial_logs(task)

    assert kept(task) == []


def test_plan_fetches_from_the_hosts_of_the_guests(rehearsal: Rehearsal) -> None:
    wanted = parse_execution({"form": "serial-log", "selection": "@all"})

    plan = plan_exec(rehearsal.state, wanted, ("a", "b"))

    fetch = plan.instructions[0]
    assert fetch.kind == Kind.FETCH_SERIAL_LOGS
    assert fetch.title == "serial log on 2 guests"
