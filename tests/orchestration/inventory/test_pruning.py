"""Deleting images for good, against locks and runs that begin at the same moment."""

import fcntl
import os
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestration.errors import StateError
from orchestration.hosts import Host
from orchestration.inventory.images import StoredImage, observe
from orchestration.inventory.pruning import Locks, remove_image, remove_leftovers
from orchestration.providers.images.locks import locked
from orchestration.transport.base import Scope
from tests.orchestration.stores import BASE, GOLDEN, OWN, StoreFolder, opened


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(tmp_path / "main")


class Answers:
    """Answers about the image's users, one a question; the last one stays."""

    def __init__(self, *answers: bool | Exception, at: Path) -> None:
        self.answers = list(answers)
        self.there: list[bool] = []
        self.at = at

    def __call__(self) -> bool:
        self.there.append(self.at.exists())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def stored(host: Host, name: str) -> StoredImage:
    image = observe(host, scope=Scope()).image(name)
    assert image is not None
    return image


def remove(host: Host, locks: Locks, name: str, is_unused: Answers) -> str:
    image = stored(host, name)
    return remove_image(host, image, locks=locks, is_unused=is_unused, scope=Scope())


def test_unused_image_goes_with_its_stamp_and_content(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.linked(GOLDEN, "sha256-aa")
    folder.put(f"{GOLDEN}.verified")
    folder.put(BASE)
    folder.put(f"{BASE}.verified")

    asked = Answers(True, at=path)

    assert remove(host, locks, GOLDEN, asked) == ""
    assert folder.names() == {BASE, f"{BASE}.verified"}
    assert asked.there == [True, False]


def test_content_stays_while_it_has_another_name(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.linked(GOLDEN, "sha256-aa")
    folder.linked(OWN, "sha256-aa")

    assert remove(host, locks, GOLDEN, Answers(True, at=path)) == ""

    assert folder.names() == {OWN, ".store/sha256-aa"}


def test_image_that_is_gone_already_is_no_error(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.put(GOLDEN)
    image = stored(host, GOLDEN)
    path.unlink()

    for _ in range(2):
        kept = remove_image(
            host, image, locks=locks, is_unused=lambda: True, scope=Scope()
        )
        assert kept == ""


def test_image_that_somebody_uses_by_now_is_not_touched(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.put(GOLDEN)
    before = path.stat()

    kept = remove(host, locks, GOLDEN, Answers(False, at=path))

    assert kept == "it is in use now"
    assert path.stat().st_ctime_ns == before.st_ctime_ns


def test_run_that_begins_between_question_and_deletion_gets_its_image_back(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.linked(GOLDEN, "sha256-aa")
    inode = path.stat().st_ino

    kept = remove(host, locks, GOLDEN, Answers(True, False, at=path))

    assert kept == "it is in use now"
    assert path.stat().st_ino == inode
    assert folder.names() == {GOLDEN, ".store/sha256-aa"}


def test_image_comes_back_where_files_have_one_name_only(
    host: Host,
    folder: StoreFolder,
    locks: Locks,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_links = tmp_path / "bin" / "ln"
    no_links.parent.mkdir()
    no_links.write_text("#!/bin/sh\nexit 1\n")
    no_links.chmod(0o755)
    monkeypatch.setenv("PATH", str(no_links.parent), prepend=os.pathsep)
    path = folder.put(GOLDEN)

    remove(host, locks, GOLDEN, Answers(True, False, at=path))

    assert folder.names() == {GOLDEN}


def test_image_is_put_back_when_nobody_can_tell(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.put(GOLDEN)

    with pytest.raises(StateError):
        remove(host, locks, GOLDEN, Answers(True, StateError("no"), at=path))

    assert folder.names() == {GOLDEN}


def test_image_that_was_made_anew_meanwhile_stays_as_it_is(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.put(GOLDEN)

    def is_unused() -> bool:
        if not path.exists():
            folder.put(GOLDEN, content=b"new")
            return False
        return True

    remove_image(
        host, stored(host, GOLDEN), locks=locks, is_unused=is_unused, scope=Scope()
    )

    assert path.read_bytes() == b"new"
    assert folder.names() == {GOLDEN}


@pytest.mark.parametrize(
    ("name", "locked_name", "purpose"),
    [
        ("main", BASE, "fetch"),
        ("main", BASE, "golden"),
        ("host-b", "sha256-aa", "push-host-b"),
    ],
)
def test_image_that_a_run_works_on_stays(
    tmp_path: Path,
    folder: StoreFolder,
    locks: Locks,
    name: str,
    locked_name: str,
    purpose: str,
) -> None:
    path = folder.linked(BASE, "sha256-aa")
    locks.folder.mkdir()
    target = locks.folder / locked_name
    with ExitStack() as stack:
        host = stack.enter_context(opened(tmp_path / "libvirt", folder, name=name))
        with locked(target, Scope(), print, purpose=purpose):
            asked = Answers(True, at=path)
            assert remove(host, locks, BASE, asked) == "a run is working on it"
            assert asked.there == []
        assert remove(host, locks, BASE, Answers(True, at=path)) == ""


def test_run_waits_for_the_deletion_and_then_finds_nothing(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    path = folder.linked(BASE, "sha256-aa")
    found: list[bool] = []

    def push() -> None:
        target = locks.folder / "sha256-aa"
        with locked(target, Scope(), print, purpose="push-host-b"):
            found.append(path.exists())

    runs: list[threading.Thread] = []

    def is_unused() -> bool:
        if not runs:
            runs.append(threading.Thread(target=push))
            runs[0].start()
        return True

    image = stored(host, BASE)
    remove_image(host, image, locks=locks, is_unused=is_unused, scope=Scope())
    runs[0].join()

    assert found == [False]


def sweep(host: Host, locks: Locks, *, age_s: float) -> set[str]:
    leftovers = observe(host, scope=Scope()).leftovers
    gone = remove_leftovers(host, leftovers, locks=locks, age_s=age_s, scope=Scope())
    return set(gone)


def test_leftovers_go_when_they_are_old(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    names = {f"{BASE}.part", ".store/sha256-bb", ".store/sha256-cc.part"}
    for name in (*names, f"{GOLDEN}.new"):
        folder.put(name)
    folder.put(BASE)

    assert sweep(host, locks, age_s=86400) == set()
    # As old as they look: a test cannot turn back the time of their last change.
    assert sweep(host, locks, age_s=-120) == {*names, f"{GOLDEN}.new"}
    assert folder.names() == {BASE}


def test_content_that_got_a_name_since_the_look_stays(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    blob = folder.put(".store/sha256-aa")
    leftovers = observe(host, scope=Scope()).leftovers
    (folder.images / GOLDEN).hardlink_to(blob)

    gone = remove_leftovers(host, leftovers, locks=locks, age_s=-120, scope=Scope())

    assert gone == frozenset()
    assert folder.names() == {GOLDEN, ".store/sha256-aa"}


def test_leftover_that_somebody_has_locked_stays(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    part = folder.put(f".{BASE}.0123abcd.part")

    with part.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        assert sweep(host, locks, age_s=-120) == set()

    assert sweep(host, locks, age_s=-120) == {part.name}


def test_unfinished_push_stays_while_a_run_holds_its_lock(
    host: Host, folder: StoreFolder, locks: Locks
) -> None:
    folder.put(".store/sha256-aa.part")
    folder.put(".store/sha256-aa.part.at")
    folder.put(".store/sha256-bb.part")
    locks.folder.mkdir()

    with locked(locks.folder / "sha256-aa", Scope(), print, purpose="push-host-b"):
        assert sweep(host, locks, age_s=-120) == {".store/sha256-bb.part"}

    assert folder.names() == {".store/sha256-aa.part", ".store/sha256-aa.part.at"}
