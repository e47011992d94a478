"""The folder's own notes stay in the folder."""

import os
from errno import EACCES
from pathlib import Path

import pytest

from orchestration.errors import TestbedError
from testbed.client.terminal import project
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.project import Link, read_link, write_link


def test_link_is_kept_in_the_folder(folder: Path) -> None:
    link = Link("https://lab.example", "olive/lab", {"a": "0"})

    write_link(folder, link)

    assert read_link(folder) == link


def test_notes_are_read_and_written_through_no_link(
    folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / ".testbed").symlink_to(outside)

    with pytest.raises(Refusal, match=r"\.testbed is a link"):
        write_link(folder, Link())
    with pytest.raises(Refusal, match=r"\.testbed is a link"):
        read_link(folder)
    assert not list(outside.iterdir())


@pytest.mark.parametrize("text", ["", "[]", '{"files": 5}', "[" * 100_000, None])
def test_notes_that_are_none_are_named_and_not_waited_for(
    folder: Path, text: str | None
) -> None:
    (folder / ".testbed").mkdir()
    file = folder / ".testbed" / "testbed.json"
    if text is None:
        os.mkfifo(file)
    else:
        file.write_text(text)

    with pytest.raises(TestbedError, match=r"testbed\.json cannot be read"):
        read_link(folder)


def test_notes_folder_that_is_a_file_is_named(folder: Path) -> None:
    (folder / ".testbed").write_text("")

    with pytest.raises(Refusal, match="is no folder"):
        read_link(folder)


def test_notes_that_may_not_be_read_say_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(EACCES, "Permission denied", str(path))

    monkeypatch.setattr(project, "opened", refuse)

    with pytest.raises(TestbedError, match="Permission denied") as refused:
        read_link(folder)

    assert "Delete it" not in refused.value.hint
