"""The folder's own notes stay in the folder."""

from pathlib import Path

import pytest

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
