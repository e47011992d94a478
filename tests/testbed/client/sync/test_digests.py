"""Large files are read once, and again as soon as anything about them is another."""

import json
import os
import time
from hashlib import sha256
from pathlib import Path

import pytest

from testbed.client.sync import digests
from testbed.client.sync.digests import LARGE_BYTES, TICK_NS, Digests, NotRegular
from tests.waiting import wait_until

LATER_NS = 10 * TICK_NS


def later() -> int:
    """A clock that says that all present files were changed long ago."""
    return time.time_ns() + LATER_NS


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "disk.img"
    file.write_bytes(b"a" * LARGE_BYTES)
    return file


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "testbed" / "digests.json"


def true_digest(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


def test_large_file_is_read_by_the_first_command_alone(
    large: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Digests(kept, later)
    digest = first.of(large)
    first.save()
    monkeypatch.setattr(digests, "file_digest", None)

    assert Digests(kept, later).of(large) == digest == true_digest(large)


def test_only_its_user_reads_what_is_kept(large: Path, kept: Path) -> None:
    found = Digests(kept, later)
    found.of(large)
    found.save()

    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_file_changed_in_the_tick_of_its_reading_is_read_again(
    large: Path, kept: Path
) -> None:
    """The second change leaves size, times and inode as they are, as git's docs say."""
    found = Digests(kept, lambda: large.stat().st_ctime_ns + TICK_NS)
    found.of(large)
    found.save()

    assert json.loads(kept.read_text()) == {}


@pytest.mark.parametrize("change", ["content", "inode", "size"])
def test_changed_file_is_read_again(large: Path, kept: Path, change: str) -> None:
    found = Digests(kept, later)
    before = large.stat()
    found.of(large)
    found.save()
    if change == "inode":
        other = large.with_name("other")
        other.write_bytes(b"b" * LARGE_BYTES)
        other.replace(large)
    else:
        large.write_bytes(b"b" * (LARGE_BYTES + (change == "size")))

    def is_seen() -> bool:
        os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
        return large.stat().st_ctime_ns != before.st_ctime_ns

    wait_until(is_seen, "the clock of the file system does not go on")

    assert Digests(kept, later).of(large) == true_digest(large)


@pytest.mark.parametrize(
    "text", ["", "[", "[]", '{"disk": 1}', '{"disk": [1, 2]}', "[" * 100_000]
)
def test_kept_digests_that_cannot_be_read_are_done_without(
    large: Path, kept: Path, text: str
) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text(text.replace("disk", str(large)))

    found = Digests(kept, later)

    assert found.of(large) == true_digest(large)
    found.save()
    assert list(json.loads(kept.read_text())) == [str(large)]


def test_cache_that_cannot_be_written_is_done_without(
    large: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = Digests(tmp_path / "file" / "digests.json", later)

    assert found.of(large) == true_digest(large)
    found.save()


def test_only_the_files_used_last_are_kept(
    tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MOST_KEPT", 2)
    monkeypatch.setattr(digests, "LARGE_BYTES", 1)
    files = [tmp_path / name for name in ("a", "b", "c")]
    for file in files:
        file.write_text(file.name)
    found = Digests(kept, later)
    for file in (*files, files[0]):
        found.of(file)
    found.save()

    assert list(json.loads(kept.read_text())) == [str(files[2]), str(files[0])]


def test_fifo_or_link_in_the_place_of_a_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")

    with pytest.raises(NotRegular):
        Digests().of(tmp_path / "fifo")
    with pytest.raises(OSError, match="link"):
        Digests().of(tmp_path / "link")


def test_user_without_a_home_has_no_cache(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", refuse)

    assert Digests.of_user().of(large) == true_digest(large)
