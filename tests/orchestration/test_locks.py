"""Locks on files and folders: one holder at a time, several readers, no waiting."""

import threading
from pathlib import Path

import pytest

from orchestration.locks import held, held_if_free, take

DEADLINE_S = 10


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "one.lock"


def test_the_second_holder_waits_for_the_first(path: Path) -> None:
    inside = threading.Event()

    def hold() -> None:
        with held(path):
            inside.set()

    with held(path):
        waiter = threading.Thread(target=hold)
        waiter.start()
        is_waiting = not inside.wait(0.2)
    waiter.join(DEADLINE_S)

    assert is_waiting
    assert inside.is_set()


def test_readers_share_a_lock_that_keeps_writers_away(path: Path) -> None:
    with (
        held(path, shared=True),
        held(path, shared=True),
        held_if_free(path) as is_held,
    ):
        assert not is_held


def test_a_held_lock_is_not_waited_for(path: Path) -> None:
    with held(path), held_if_free(path) as is_held:
        assert not is_held
        assert take(path) is None


def test_a_lock_that_gets_free_in_time_is_held(path: Path) -> None:
    first = take_in(path)

    timer = threading.Timer(0.2, first.close)
    timer.start()
    with held_if_free(path, wait_s=DEADLINE_S) as is_held:
        assert is_held
    timer.join()


def test_a_folder_is_its_own_lock(tmp_path: Path) -> None:
    with held(tmp_path), held_if_free(tmp_path) as is_held:
        assert not is_held

    assert list(tmp_path.iterdir()) == []


def test_locking_keeps_what_the_file_says(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("7")

    with held(path), held_if_free(path):
        pass

    assert path.read_text() == "7"


def test_a_lock_file_that_was_removed_while_held_is_made_anew(path: Path) -> None:
    with take_in(path):
        path.unlink()
        second = take(path)

    assert second is not None
    second.close()


def test_a_lock_is_that_of_the_file_which_is_at_the_path(path: Path) -> None:
    """Its holder moved the file while another one waited for it."""
    found: list[object] = []

    def wait() -> None:
        with held_if_free(path, wait_s=DEADLINE_S) as is_held:
            found.extend((is_held, take(path)))

    with held(path):
        waiter = threading.Thread(target=wait)
        waiter.start()
        waiter.join(0.2)
        path.rename(path.with_name("moved"))
    waiter.join(DEADLINE_S)

    assert found == [True, None]


def take_in(path: Path):
    path.parent.mkdir(exist_ok=True)
    file = take(path)
    assert file is not None
    return file
