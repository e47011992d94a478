"""A user's file is taken once: whole, root's, read-only, through no link."""

import os
from pathlib import Path

import pytest

from orchestration.compose.disk_files import stamp_of
from orchestration.errors import Cancelled, ImageFailed, PathOutside
from orchestration.providers.images.digests import read_stamp
from orchestration.providers.images.own_files import OwnFile, ensure_taken
from orchestration.transport.base import OnProgress, Scope, no_progress
from orchestration.transport.local import LocalTransport
from tests.tags import OWN_TAG

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
HOLE_BYTES = 8 * 1024 * 1024


@pytest.fixture(name="source")
def _source(tmp_path: Path) -> Path:
    source = tmp_path / "files" / "disks" / "own.img"
    source.parent.mkdir(parents=True)
    with source.open("wb") as file:
        file.write(b"boot" * 100)
        file.seek(HOLE_BYTES)
        file.write(b"end")
    return source


def take(
    own: OwnFile,
    target: Path,
    *,
    scope: Scope | None = None,
    on_progress: OnProgress = no_progress,
) -> bool:
    return ensure_taken(
        LocalTransport(),
        own,
        target,
        scope=scope or Scope(OWN_TAG),
        on_progress=on_progress,
        on_verify=no_progress,
        log=print,
    )


def target_of(source: Path) -> Path:
    return source.parents[2] / "images" / "own-0123456789abcdef.img"


def test_copy_is_whole_with_its_holes_and_for_nobody_to_write(source: Path) -> None:
    target = target_of(source)

    taken = [take(OwnFile(source, stamp_of(source.stat())), target) for _ in range(2)]

    assert taken == [True, False]
    assert target.read_bytes() == source.read_bytes()
    status = target.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o444)
    assert status.st_blocks * 512 < HOLE_BYTES
    assert read_stamp(target) is not None


def test_copy_stays_when_the_users_file_goes(source: Path) -> None:
    take(OwnFile(source), target_of(source))
    source.unlink()

    assert not take(OwnFile(source), target_of(source))


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_link_to_another_file_of_the_host_is_not_followed(
    source: Path, linked: str
) -> None:
    secret = source.parents[2] / "secret"
    secret.mkdir()
    (secret / "own.img").write_bytes(b"root only")
    if linked == "file":
        source.unlink()
        source.symlink_to(secret / "own.img")
    else:
        source.parent.rename(source.parent.with_name("former"))
        source.parent.symlink_to(secret)

    with pytest.raises(PathOutside, match="exchanged for a link"):
        take(OwnFile(source), target_of(source))

    assert not target_of(source).exists()


def test_pipe_is_refused_at_once(source: Path) -> None:
    source.unlink()
    os.mkfifo(source)

    with pytest.raises(PathOutside, match="no regular file"):
        take(OwnFile(source), target_of(source))


def test_file_that_was_exchanged_since_the_plan_is_not_taken_for_it(
    source: Path,
) -> None:
    planned = OwnFile(source, stamp_of(source.stat()))
    source.write_bytes(b"another")

    with pytest.raises(ImageFailed, match="was changed after this run was planned"):
        take(planned, target_of(source))

    assert list(target_of(source).parent.glob("own-*")) == []


def test_file_that_is_written_to_while_it_is_copied_is_refused(source: Path) -> None:
    with pytest.raises(ImageFailed, match="was changed"):
        take(
            OwnFile(source),
            target_of(source),
            on_progress=lambda done, total: os.utime(source, (1, 1)),
        )

    assert list(target_of(source).parent.glob("own-*")) == []


def test_cancelled_copy_leaves_nothing(source: Path) -> None:
    scope = Scope(OWN_TAG)

    with pytest.raises(Cancelled):
        take(
            OwnFile(source),
            target_of(source),
            scope=scope,
            on_progress=lambda done, total: scope.cancel(),
        )

    assert list(target_of(source).parent.glob("own-*")) == []


def test_missing_file_is_named(source: Path) -> None:
    source.unlink()

    with pytest.raises(ImageFailed, match="cannot be read"):
        take(OwnFile(source), target_of(source))


def test_copy_that_somebody_wrote_to_is_refused(source: Path) -> None:
    target = target_of(source)
    take(OwnFile(source), target)
    target.write_bytes(b"x" * HOLE_BYTES)

    with pytest.raises(ImageFailed, match="was changed after it was made"):
        take(OwnFile(source), target)


def test_copy_of_a_worker_that_died_before_its_stamp_is_used(source: Path) -> None:
    target = target_of(source)
    take(OwnFile(source), target)
    target.with_name(f"{target.name}.verified").unlink()

    assert not take(OwnFile(source), target)

    assert read_stamp(target) is not None
