"""Locks of images: one holder at a time, also while their files come and go."""

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest

from orchestration.errors import Cancelled
from orchestration.providers.images.locks import locked, remove_old_locks
from orchestration.transport.base import Scope


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "golden-0123456789abcdef.qcow2"


def test_second_holder_waits_and_says_so(target: Path) -> None:
    said: list[str] = []
    taken = threading.Event()

    def wait() -> None:
        with locked(target, Scope(), said.append):
            taken.set()

    with locked(target, Scope(), print):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert not taken.wait(0.5)
    waiter.join()

    assert taken.is_set()
    assert said == [f"Another run works on {target.name}; waiting for it."]


def test_cancelled_scope_does_not_wait(target: Path) -> None:
    scope = Scope()
    scope.cancel()

    with (
        locked(target, Scope(), print),
        pytest.raises(Cancelled),
        locked(target, scope, print),
    ):
        pass

    with locked(target, scope, print):
        pass


def test_only_old_locks_that_nobody_holds_are_removed(target: Path) -> None:
    folder, then = target.parent, time.time() - 5000
    other = folder / "sha256-aa"
    with locked(other, Scope(), print, purpose="push-host-b"):
        pass
    foreign = folder / ".mine.lock"
    foreign.touch()
    with locked(target, Scope(), print):
        for path in folder.iterdir():
            os.utime(path, (then, then))
        with locked(target, Scope(), print, purpose="golden"):
            pass

        assert remove_old_locks(folder, age_s=3600) == 1

    left = {path.name for path in folder.iterdir()}
    assert left == {
        ".mine.lock",
        f".{target.name}.fetch.lock",
        f".{target.name}.golden.lock",
    }


def test_lock_whose_file_goes_before_it_is_taken_still_keeps_others_out(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, path = fcntl.flock, target.with_name(f".{target.name}.fetch.lock")
    removals = [path.unlink]

    def remove_and_lock(file: int, operation: int) -> None:
        if removals:
            removals.pop()()
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    never_waits = Scope()
    never_waits.cancel()

    with (
        locked(target, Scope(), print),
        pytest.raises(Cancelled),
        locked(target, never_waits, print),
    ):
        pass

    assert removals == []
