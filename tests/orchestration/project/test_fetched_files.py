"""Files that a guest sent are listed, read and packed, and nothing else is."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from orchestration.errors import PathOutside, StateError
from orchestration.project.fetched_files import FetchedFiles, end_of_archive

ODD = os.fsdecode(b"odd\n\xff")


@pytest.fixture
def files(tmp_path: Path) -> FetchedFiles:
    root = tmp_path / "fetched" / "7" / "web"
    (root / "log" / "empty").mkdir(parents=True)
    (root / "log" / "big").write_bytes(b"x" * 700_000)
    (root / "log" / ODD).write_bytes(b"odd")
    os.utime(root / "log" / "big", (1_000_000_000, 1_000_000_000))
    (tmp_path / "secret").write_text("secret")
    (root / "log" / "link").symlink_to(tmp_path / "secret")
    (root / "away").symlink_to(tmp_path)
    return FetchedFiles(root)


def unpacked(files: FetchedFiles, path: str, name: str) -> tarfile.TarFile:
    data = b"".join((*files.packed(path, name), end_of_archive()))
    return tarfile.open(fileobj=io.BytesIO(data))


def test_folders_come_first_and_links_are_not_listed(files: FetchedFiles) -> None:
    names = files.names("log")

    assert files.names("") == ["log"]
    assert names == ["empty", "big", ODD]
    found = files.entries("log", names)
    assert [entry.is_folder for entry in found] == [True, False, False]
    assert (found[1].size_bytes, found[1].modified_s) == (700_000, 1_000_000_000)


def test_file_is_opened_by_its_bytes(files: FetchedFiles) -> None:
    with files.open(f"log/{ODD}") as file:
        assert file.read() == b"odd"


@pytest.mark.parametrize(
    "path",
    ["..", "log/..", "log/../../secret", "/etc/passwd", "log//big", "./log", "a\0b"],
)
def test_path_that_leads_out_is_refused(files: FetchedFiles, path: str) -> None:
    for act in (files.open, files.names, files.is_folder):
        with pytest.raises(PathOutside):
            act(path)


@pytest.mark.parametrize("path", ["log/link", "away/secret", "away"])
def test_link_is_never_followed(files: FetchedFiles, path: str) -> None:
    for act in (files.open, files.names):
        with pytest.raises((PathOutside, OSError)):
            act(path)
    with pytest.raises((PathOutside, StateError, OSError)):
        list(files.packed(path, "x"))


def test_folder_is_packed_whole_without_links(files: FetchedFiles) -> None:
    archive = unpacked(files, "", "lab/web")

    assert archive.getnames() == [
        "lab/web",
        *("lab/web/log", "lab/web/log/big", "lab/web/log/empty", f"lab/web/log/{ODD}"),
    ]
    assert archive.getmember("lab/web/log/big").mtime == 1_000_000_000
    content = archive.extractfile("lab/web/log/big")
    assert content is not None
    assert content.read() == b"x" * 700_000


def test_single_file_is_packed_under_its_name(files: FetchedFiles) -> None:
    assert unpacked(files, "log/big", "big").getnames() == ["big"]


def test_large_file_is_packed_in_parts(files: FetchedFiles) -> None:
    assert max(map(len, files.packed("log/big", "big"))) <= 256 * 1024


def test_removed_folder_is_not_there(tmp_path: Path) -> None:
    files = FetchedFiles(tmp_path / "gone")

    assert not files.is_there
    with pytest.raises(FileNotFoundError):
        files.names("")


def test_file_of_many_names_is_packed_once(files: FetchedFiles, tmp_path: Path) -> None:
    log = tmp_path / "fetched" / "7" / "web" / "log"
    for number in range(20):
        (log / f"name-{number:02}").hardlink_to(log / "big")

    packed = b"".join(files.packed("", "web"))

    assert len(packed) < 2 * 700_000
    names = unpacked(files, "", "web")
    for name in ("big", "name-00", "name-19"):
        member = names.extractfile(f"web/log/{name}")
        assert member is not None
        assert len(member.read()) == 700_000
