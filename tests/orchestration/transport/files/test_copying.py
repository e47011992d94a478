"""Files on every kind of machine: whole or not at all, with their holes."""

import os
import subprocess
import threading

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    HostUnreachable,
    NotEnoughSpace,
)
from orchestration.transport.base import Scope
from orchestration.transport.files.copying import BLOCK_BYTES, data_extents
from tests.tags import OWN_TAG
from tests.waiting import wait_until

MIB = 1024 * 1024


@pytest.fixture
def sparse(tmp_path):
    """A file of 128 MiB with 5 MiB of data in it, also at its odd end."""
    path = tmp_path / "sparse.img"
    with path.open("wb") as file:
        for position in (0, 20 * MIB + 4096, 90 * MIB, 91 * MIB):
            file.seek(position)
            file.write(os.urandom(MIB))
        file.seek(127 * MIB)
        file.write(os.urandom(MIB - 13))
    return path


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def used(path) -> int:
    return path.stat().st_blocks * 512


def same(one, other) -> bool:
    return subprocess.run(["cmp", one, other], check=False).returncode == 0


def test_bytes_arrive_with_mode_and_parents(machine, scope, tmp_path):
    target = tmp_path / "new dir" / "it's.txt"

    machine.put(b"\0\xffdata\n", str(target), scope=scope, mode=0o600)

    assert target.read_bytes() == b"\0\xffdata\n"
    assert target.stat().st_mode & 0o7777 == 0o600
    assert names(target.parent) == [target.name]


def test_nothing_is_a_file_too(machine, scope, tmp_path):
    (tmp_path / "empty").touch()

    machine.put(b"", str(tmp_path / "a"), scope=scope)
    machine.put(tmp_path / "empty", str(tmp_path / "b"), scope=scope)
    machine.get(str(tmp_path / "b"), tmp_path / "c", scope=scope)

    assert [(tmp_path / name).stat().st_size for name in "abc"] == [0, 0, 0]


def test_existing_file_is_replaced(machine, scope, tmp_path):
    target = tmp_path / "f"
    target.write_text("a long old text")
    reader = target.open()

    machine.put(b"new", str(target), scope=scope)

    with reader:
        assert reader.read() == "a long old text"
    assert target.read_text() == "new"


def test_folder_is_not_replaced(machine, scope, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    before = names(tmp_path)

    with pytest.raises(CommandFailed, match=f"Could not write {folder}"):
        machine.put(b"new", str(folder), scope=scope)

    assert names(tmp_path) == before
    assert names(folder) == []


def test_twenty_mebibytes_there_and_back(machine, scope, tmp_path):
    source, there, back = (tmp_path / name for name in ("s", "t", "b"))
    source.write_bytes(os.urandom(20 * MIB + 7))
    progress = []

    machine.put(
        source,
        str(there),
        scope=scope,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    machine.get(str(there), back, scope=scope)

    assert same(source, there)
    assert same(source, back)
    assert progress[-1] == (20 * MIB + 7, 20 * MIB + 7)
    assert progress == sorted(progress)


def test_holes_stay_holes(machine, scope, sparse, tmp_path):
    there = tmp_path / "there"

    machine.put(sparse, str(there), scope=scope)

    assert same(sparse, there)
    assert used(there) < 7 * MIB


def test_fetched_file_gets_its_holes_back(machine, scope, tmp_path):
    there, back = tmp_path / "there", tmp_path / "back"
    with there.open("wb") as file:
        file.write(os.urandom(MIB + 3))
        file.truncate(64 * MIB + 5)

    machine.get(str(there), back, scope=scope)

    assert same(there, back)
    assert used(back) < 2 * MIB


def test_file_that_is_one_hole(machine, scope, tmp_path):
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(300 * MIB + 5)

    machine.put(tmp_path / "hole", str(tmp_path / "there"), scope=scope)

    assert (tmp_path / "there").stat().st_size == 300 * MIB + 5
    assert used(tmp_path / "there") < MIB


def test_cancelled_copy_leaves_nothing(machine, scope, tmp_path):
    source, folder = tmp_path / "s", tmp_path / "to"
    source.write_bytes(os.urandom(40 * MIB))

    def stop_at_half(done: int, total: int) -> None:
        if done > total // 4:
            scope.cancel()

    with pytest.raises(Cancelled):
        machine.put(source, str(folder / "t"), scope=scope, on_progress=stop_at_half)

    wait_until(lambda: names(folder) == [])


def test_full_file_system_is_named(full, machine, scope, tmp_path):
    (tmp_path / "s").write_bytes(os.urandom(8 * MIB))

    with pytest.raises(NotEnoughSpace, match=f"{full}/t on {machine.machine}"):
        machine.put(tmp_path / "s", str(full / "t"), scope=scope)
    assert names(full) == []
    with pytest.raises(NotEnoughSpace, match=f"{full}/t on main"):
        machine.get(str(tmp_path / "s"), full / "t", scope=scope)
    assert names(full) == []


def test_missing_file_to_send_is_named(machine, scope, tmp_path):
    with pytest.raises(CommandFailed, match=r"Could not read .*no-such-file"):
        machine.put(tmp_path / "no-such-file", str(tmp_path / "x"), scope=scope)


def test_missing_source_is_named(machine, scope, tmp_path):
    with pytest.raises(CommandFailed, match=r"no-such-file.* on "):
        machine.get(str(tmp_path / "no-such-file"), tmp_path / "x", scope=scope)

    assert "x" not in names(tmp_path)


def test_relative_target_is_refused(machine, scope):
    with pytest.raises(ValueError, match="not an absolute path"):
        machine.put(b"", "somewhere", scope=scope)


def test_connection_that_dies_amid_a_copy_leaves_no_half_file(server, scope, tmp_path):
    source, target = tmp_path / "s", tmp_path / "to" / "t"
    source.write_bytes(os.urandom(60 * MIB))
    machine = server.transport()
    half = threading.Event()

    def kill_at_half(done: int, total: int) -> None:
        if done > total // 4 and not half.is_set():
            half.set()
            server.kill()

    with pytest.raises(HostUnreachable, match="cannot be reached"):
        machine.put(source, str(target), scope=scope, on_progress=kill_at_half)

    assert half.is_set()
    wait_until(lambda: names(target.parent) == [])
    server.start()


def test_extents_are_blocks_joined_until_they_are_few(tmp_path):
    path = tmp_path / "holes"
    with path.open("wb") as file:
        for number in range(1500):
            file.seek(number * 4 * BLOCK_BYTES + 5000)
            file.write(b"x")
        size = file.tell()
    with path.open("rb") as file:
        extents = data_extents(file.fileno(), size)

    assert len(extents) <= 512
    assert extents[-1][1] == size
    assert all(start % BLOCK_BYTES == 0 for start, _ in extents)
    assert all(end % BLOCK_BYTES == 0 for _, end in extents[:-1])


def test_scope_that_was_cancelled_copies_nothing(machine, tmp_path):
    scope = Scope(OWN_TAG)
    scope.cancel()

    with pytest.raises(Cancelled):
        machine.put(b"x", str(tmp_path / "t"), scope=scope)

    assert not (tmp_path / "t").exists()
