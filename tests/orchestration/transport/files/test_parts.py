"""Leftovers of killed writers are removed by the next one; living writers go on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestration.files import part_path
from orchestration.transport.base import Scope
from orchestration.transport.files.copying import copy_command
from orchestration.transport.files.parts import remove_if_abandoned
from orchestration.transport.local import LocalTransport
from tests.orchestration.transport.conftest import Server
from tests.waiting import wait_until

# A worker that stops in the middle of a copy until it is ended.
WRITER = """
import sys
from pathlib import Path
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport

def stop(done, total):
    print("copies", flush=True)
    sys.stdin.read()

LocalTransport().put(Path(sys.argv[1]), sys.argv[2], scope=Scope(), on_progress=stop)
"""


@contextmanager
def writer(source: Path, target: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own in the middle of a copy."""
    words = [sys.executable, "-c", WRITER, str(source), str(target)]
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "copies\n"
            yield child
        finally:
            child.kill()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(1024 * 1024))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "to"
    folder.mkdir()
    return folder / "disk [1].qcow2"


def parts(target: Path) -> list[Path]:
    return [path for path in target.parent.iterdir() if path.suffix == ".part"]


def copied_in_one_shell(source: Path, target: Path) -> None:
    """Copy as a login does that is not root: with sudo, in a shell."""
    part = part_path(str(target))
    cmd = copy_command(str(source), str(target), part, mode=0o644)
    LocalTransport().run(cmd, scope=Scope())


def copied_here(source: Path, target: Path) -> None:
    LocalTransport().put(source, str(target), scope=Scope())


@pytest.fixture(params=["here", "in one shell", "fetched over SSH"])
def copy(request: pytest.FixtureRequest) -> Callable[[Path, Path], None]:
    """Each way to write a file of this machine."""
    match request.param:
        case "here":
            return copied_here
        case "in one shell":
            return copied_in_one_shell
        case _:
            machine = request.getfixturevalue("server").transport()
            return lambda source, target: machine.get(
                str(source), target, scope=Scope()
            )


def test_half_file_of_a_killed_worker_goes_with_the_next_copy(
    copy: Callable[[Path, Path], None], source: Path, target: Path
) -> None:
    with writer(source, target) as child:
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    other = target.with_name(".other.qcow2.01234567.part")
    other.write_text("half of another file")
    assert len(parts(target)) == 2

    copy(source, target)

    assert target.read_bytes() == source.read_bytes()
    assert parts(target) == [other]


def test_file_that_a_living_worker_writes_is_left_alone(
    copy: Callable[[Path, Path], None], source: Path, target: Path
) -> None:
    with writer(source, target) as child:
        (half,) = parts(target)

        copy(source, target)
        assert not remove_if_abandoned(half)

        assert parts(target) == [half]
        target.unlink()
        child.communicate(timeout=60)

    assert child.returncode == 0
    assert target.read_bytes() == source.read_bytes()
    assert parts(target) == []


def test_file_that_is_being_fetched_is_left_alone(
    server: Server, source: Path, target: Path
) -> None:
    pipe = source.with_name("pipe")
    os.mkfifo(pipe)
    machine = server.transport()
    with ThreadPoolExecutor(1) as pool, pipe.open("r+b", buffering=0) as there:
        fetching = pool.submit(machine.get, str(pipe), target, scope=Scope())
        there.write(b"half" * 10_000)
        wait_until(lambda: any(half.stat().st_size for half in parts(target)))
        (half,) = parts(target)

        copied_here(source, target)
        assert not remove_if_abandoned(half)

        there.write(b"rest" * 10_000)
    fetching.result()

    assert target.read_bytes() == b"half" * 10_000 + b"rest" * 10_000
    assert parts(target) == []


def test_file_that_is_gone_was_not_abandoned(tmp_path: Path) -> None:
    assert not remove_if_abandoned(tmp_path / ".x.01234567.part")
