"""Files that are written whole: new content, or the old one and nothing beside it."""

from pathlib import Path

import pytest

from orchestration.files import write_whole


def test_content_and_mode_are_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("old")

    write_whole(path, "new\n", mode=0o600)

    assert path.read_text() == "new\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_file_that_cannot_be_written_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orchestration.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, b"new", durable=True)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_longest_name_that_a_file_may_have_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)

    write_whole(path, b"new")

    assert path.read_bytes() == b"new"
