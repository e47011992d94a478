"""A stamp recognises its file, and no other file in its place."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images.digests import (
    digest_of,
    is_as_noted,
    noted_digest,
    read_stamp,
    stamp_name,
    write_stamp,
)
from orchestration.providers.transfer.source import stored_content
from orchestration.transport.base import Scope, no_progress

SECOND_NS = 10**9


@pytest.fixture(name="image")
def _image(tmp_path: Path) -> Path:
    """A verified image, whose time of change is early in a second."""
    image = tmp_path / "image.qcow2"
    image.write_bytes(b"as it was verified")
    os.utime(image, ns=(5 * SECOND_NS, 5 * SECOND_NS + 1))
    write_stamp(image, digest_of(image, "sha256", Scope(), no_progress))
    return image


def same_second(image: Path) -> None:
    """Write to it, as long as before, within the second."""
    image.write_bytes(b"AS IT WAS VERIFIED")
    os.utime(image, ns=(5 * SECOND_NS, 5 * SECOND_NS + 2))


def other_file(image: Path) -> None:
    """Put another file in its place, as old and as long."""
    new = image.with_name("new")
    new.write_bytes(b"AS IT WAS VERIFIED")
    os.utime(new, ns=(5 * SECOND_NS, 5 * SECOND_NS + 1))
    new.replace(image)


def brought_back(image: Path) -> None:
    """Put the same content in its place."""
    new = image.with_name("new")
    new.write_bytes(image.read_bytes())
    new.replace(image)


def of_an_earlier_version(image: Path) -> None:
    """Let its stamp know the second only."""
    stamp = Path(stamp_name(str(image)))
    digest = stamp.read_text().split()[0]
    stamp.write_text(f"{digest} {image.stat().st_size} 5\n")


def test_stamp_is_about_the_file_that_was_verified(image: Path) -> None:
    stamp = read_stamp(image)

    assert stamp is not None
    assert stamp.digest == digest_of(image, "sha256", Scope(), no_progress)
    image.unlink()
    assert read_stamp(image) is None
    assert not is_as_noted(image, Scope(), no_progress)


@pytest.mark.parametrize("change", [same_second, other_file])
def test_changed_file_is_seen_to_be_another_one(
    image: Path, change: Callable[[Path], None]
) -> None:
    change(image)

    assert read_stamp(image) is None
    assert not is_as_noted(image, Scope(), no_progress)
    with pytest.raises(ImageFailed, match="changed after it was verified"):
        stored_content(image, scope=Scope())


@pytest.mark.parametrize("change", [brought_back, of_an_earlier_version])
def test_file_with_the_same_content_is_read_once_and_used(
    image: Path, change: Callable[[Path], None]
) -> None:
    change(image)

    assert read_stamp(image) is None
    assert is_as_noted(image, Scope(), no_progress)
    assert read_stamp(image) is not None


@pytest.mark.parametrize("text", ["", "x", "sha256:", "nonsense:00 1 1 1\n", "\0"])
def test_broken_stamp_says_nothing(image: Path, text: str) -> None:
    Path(stamp_name(str(image))).write_text(text)

    assert read_stamp(image) is None
    assert not is_as_noted(image, Scope(), no_progress)


def test_stamp_is_whole_whenever_somebody_reads_it(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = noted_digest(image), []
    replace = Path.replace

    def looked_at(path: Path, target: Path) -> Path:
        seen.append(noted_digest(image))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", looked_at)
    write_stamp(image, before)

    assert seen == [before]
    assert [file.name for file in image.parent.iterdir() if ".part" in file.name] == []
    assert noted_digest(image) == before
