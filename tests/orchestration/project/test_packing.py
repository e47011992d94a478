"""A folder becomes one tar stream, with its names and one digest at its end."""

import io
import os
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest

from orchestration.errors import StateError
from orchestration.project.packing import PIECE_BYTES, Packing, measure

LONG = f"{'x' * 120}/{'y' * 200}/größe\nund mehr"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    (folder / "sub").mkdir(parents=True)
    (folder / "run").write_bytes(b"#!/bin/sh\n")
    (folder / "run").chmod(0o4755)
    (folder / "sub" / "big").write_bytes(os.urandom(3 * PIECE_BYTES + 5))
    (folder / "link").symlink_to("/etc/passwd")
    os.utime(folder / "run", (1_000_000_000, 1_000_000_000))
    return folder


def packed(source: Path) -> tarfile.TarFile:
    data = b"".join(Packing(source).stream())
    return tarfile.open(fileobj=io.BytesIO(data))


def content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def test_modes_times_and_links_travel_and_no_right_of_another_user(
    source: Path,
) -> None:
    archive = packed(source)

    run = archive.getmember("content/run")
    assert (run.mode, run.mtime) == (0o755, 1_000_000_000)
    assert archive.getmember("content/link").linkname == "/etc/passwd"
    assert archive.getmember("content/sub").isdir()
    assert archive.getmember("content").isdir()


def test_uploads_which_only_their_owner_reads_are_readable_in_guests(
    source: Path,
) -> None:
    modes = {"run": 0o600, "sub": 0o700, "sub/big": 0o600, "link": 0o777}
    (source / "own").write_bytes(b"\x7fELF")
    modes |= {"own": 0o600}
    for name in modes.keys() - {"link"}:
        (source / name).chmod(modes[name])
    (source / "group").write_text("x")
    (source / "group").chmod(0o640)

    archive = packed(source)

    found = {name: archive.getmember(f"content/{name}").mode for name in modes}
    assert found == {
        "run": 0o755,
        "sub": 0o755,
        "sub/big": 0o644,
        "own": 0o755,
        "link": 0o777,
    }
    assert archive.getmember("content/group").mode == 0o640


def test_stream_ends_with_the_names_and_the_digest_of_their_contents(
    source: Path,
) -> None:
    archive = packed(source)

    names = content(archive, "names").split(b"\0")[:-1]
    contents = b"".join(content(archive, name.decode()) for name in names)
    assert names == [b"content/run", b"content/sub/big"]
    assert content(archive, "digest").decode().strip() == sha256(contents).hexdigest()
    assert archive.getnames()[-2:] == ["names", "digest"]


def test_single_file_is_the_content_itself(source: Path) -> None:
    archive = packed(source / "run")

    assert archive.getnames() == ["content", "names", "digest"]
    assert content(archive, "content") == b"#!/bin/sh\n"


def test_any_name_travels(tmp_path: Path) -> None:
    place = tmp_path / "a" / LONG
    place.parent.mkdir(parents=True)
    place.write_text("x")

    archive = packed(tmp_path / "a")

    assert content(archive, f"content/{LONG}") == b"x"
    assert content(archive, "names") == f"content/{LONG}\0".encode()


def test_many_small_files_travel_in_few_pieces(tmp_path: Path) -> None:
    for number in range(400):
        (tmp_path / f"{number}").write_text("small")

    pieces = list(Packing(tmp_path).stream())

    assert len(pieces) <= 3
    assert max(map(len, pieces)) <= PIECE_BYTES + 1024


def test_large_file_is_never_whole_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as file:
        file.truncate(64 * PIECE_BYTES)

    packing = Packing(tmp_path / "big")
    sizes = [(len(piece), packing.sent_bytes) for piece in packing.stream()]

    assert max(size for size, _ in sizes) < 3 * PIECE_BYTES
    assert sizes[-1][1] == 64 * PIECE_BYTES


def test_measure_counts_files_and_follows_no_link(source: Path) -> None:
    found = measure(source)

    assert (found.files, found.is_folder) == (2, True)
    assert found.size_bytes == 3 * PIECE_BYTES + 5 + 10


def test_file_that_became_shorter_ends_the_stream(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(bytes(4 * PIECE_BYTES))
    stream = Packing(file).stream()

    next(stream)
    os.truncate(file, 10)

    with pytest.raises(StateError, match="log became shorter while it was sent"):
        list(stream)


def test_pipe_is_named_and_not_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p")

    with pytest.raises(StateError, match="p is neither a file nor a folder"):
        list(Packing(tmp_path).stream())
