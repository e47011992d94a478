"""An archive of a guest stays in its folder, within the bounds, without links."""

import io
import os
import tarfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import ArchiveRefused, NotEnoughSpace
from orchestration.providers.guest.copies.tar_reader import MOST_NAME_BYTES, EntryKind
from orchestration.providers.guest.copies.unpacking import Unpacker

END = bytes(1024)
LONG = "d" * 200 + "/" + "f" * 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return folder


def ignore(count: int) -> None:
    """Take any number of bytes."""


def member(name: str, data: bytes = b"", **more: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return header + data + bytes(-len(data) % 512)


def unpack(
    folder: Path,
    *members: bytes,
    most_entries: int = 1000,
    piece_bytes: int = 700,
) -> Unpacker:
    found = Unpacker(folder, name="top", spend=ignore, most_entries=most_entries)
    try:
        data = b"".join(members)
        for start in range(0, len(data), piece_bytes):
            found.feed(data[start : start + piece_bytes])
        found.finish()
    finally:
        found.close()
    return found


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("piece_bytes", [1, 511, 512, 10_000])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archive_of_any_pieces_is_unpacked(
    folder: Path, tmp_path: Path, piece_bytes: int, form: int
) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "größe").write_text("text")
    (source / LONG).parent.mkdir()
    (source / LONG).write_bytes(b"x" * 1500)
    os.utime(source / "sub" / "größe", (1_000_000_000, 1_000_000_000))
    os.utime(source / "sub", (1_000_000_001, 1_000_000_001))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        archive.add(source, ".")

    found = unpack(folder, buffer.getvalue(), piece_bytes=piece_bytes)

    assert (folder / "top" / "sub" / "größe").read_text() == "text"
    assert (folder / "top" / LONG).stat().st_size == 1500
    assert (folder / "top" / "sub" / "größe").stat().st_mtime == 1_000_000_000
    assert (folder / "top" / "sub").stat().st_mtime == 1_000_000_001
    assert (found.files, found.size_bytes) == (2, 1504)


def test_file_alone_keeps_its_name(folder: Path) -> None:
    unpack(folder, member("log", b"x", mode=0o640), END)

    assert names(folder) == {"log"}
    assert (folder / "log").stat().st_mode & 0o7777 == 0o640


def test_modes_give_no_right_to_others_and_no_user(folder: Path) -> None:
    unpack(
        folder,
        member("a", mode=0o6777),
        member("b", mode=0),
        member("d/", type=tarfile.DIRTYPE, mode=0o1777),
        END,
    )

    modes = {path.name: path.stat().st_mode & 0o7777 for path in folder.iterdir()}
    assert modes == {"a": 0o755, "b": 0o600, "d": 0o755}


@pytest.mark.parametrize(
    "name", ["/etc/evil", "../evil", "a/../../evil", "./../evil", ".."]
)
def test_name_that_leads_out_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ArchiveRefused, match="a name that leads out of its folder"):
        unpack(folder, member(name, b"evil"), END)

    assert names(folder.parent) == {"fetched"}


def test_links_devices_and_pipes_are_left_out_and_counted(folder: Path) -> None:
    found = unpack(
        folder,
        member("link", type=tarfile.SYMTYPE, linkname="/etc"),
        member("device", type=tarfile.BLKTYPE),
        member("pipe", type=tarfile.FIFOTYPE),
        member("file", b"x"),
        END,
    )

    assert names(folder) == {"file"}
    assert found.left_out == {EntryKind.SYMLINK: 1, EntryKind.OTHER: 2}


def test_file_behind_a_link_of_the_archive_stays_inside(
    folder: Path, tmp_path: Path
) -> None:
    unpack(
        folder,
        member("out", type=tarfile.SYMTYPE, linkname=str(tmp_path)),
        member("out/evil", b"evil"),
        END,
    )

    assert not (tmp_path / "evil").exists()
    assert names(folder) == {"out", "out/evil"}


def test_link_that_lies_there_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (folder / "out").symlink_to(tmp_path)

    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        unpack(folder, member("out/evil", b"evil"), END)

    assert not (tmp_path / "evil").exists()


def test_file_that_lies_there_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(FileExistsError):
        unpack(folder, member("a", b"one"), member("a", b"two"), END)


def test_hard_link_names_a_file_of_the_archive(folder: Path) -> None:
    found = unpack(
        folder,
        member("a", b"one"),
        member("sub/b", type=tarfile.LNKTYPE, linkname="a"),
        END,
    )

    assert (folder / "sub" / "b").read_bytes() == b"one"
    assert found.files == 2


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "missing", "d"])
def test_hard_link_to_anything_else_is_refused(
    folder: Path, tmp_path: Path, target: str
) -> None:
    (tmp_path / "secret").write_text("secret")

    with pytest.raises((ArchiveRefused, FileNotFoundError)):
        unpack(
            folder,
            member("d/", type=tarfile.DIRTYPE),
            member("b", type=tarfile.LNKTYPE, linkname=target),
            END,
        )

    assert not (folder / "b").exists()


def test_sparse_file_is_refused(folder: Path) -> None:
    with pytest.raises(ArchiveRefused, match="an entry of the unknown kind"):
        unpack(folder, member("a", type=tarfile.GNUTYPE_SPARSE), END)


def test_sparse_file_of_an_extended_header_is_refused(folder: Path) -> None:
    record = b"31 GNU.sparse.realsize=9999999\n"

    with pytest.raises(ArchiveRefused, match="an extended header that is none"):
        unpack(folder, member("x", record, type=tarfile.XHDTYPE), member("a"), END)


def test_endless_entries_are_refused(folder: Path) -> None:
    many = [member(f"{number}") for number in range(20)]

    with pytest.raises(ArchiveRefused, match="more than 10 entries"):
        unpack(folder, *many, END, most_entries=10)


def test_folders_that_only_names_ask_for_are_counted(folder: Path) -> None:
    many = (member(f"{number}/a/b/c/d/file") for number in range(5))

    with pytest.raises(ArchiveRefused, match="more than 10 folders"):
        unpack(folder, *many, END, most_entries=10)

    assert len(names(folder)) < 15


def test_endless_headers_without_entries_are_refused(folder: Path) -> None:
    long = member("L", b"name\0", type=tarfile.GNUTYPE_LONGNAME)

    with pytest.raises(ArchiveRefused, match="more headers than entries"):
        unpack(folder, *[long] * 20, END)


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_endless_name_is_refused_before_it_is_read(folder: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("L")
    info.type, info.size = kind, 2**40

    with pytest.raises(ArchiveRefused, match="a name or header of"):
        unpack(folder, info.tobuf(tarfile.GNU_FORMAT))


@pytest.mark.parametrize("name", ["d/" * 200 + "f", "f" * (MOST_NAME_BYTES + 1)])
def test_name_that_is_too_long_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ArchiveRefused, match=r"too long|a name or header of"):
        unpack(folder, member(name, b"x"), END)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 512, b"not an archive at all".ljust(512), os.urandom(2048)],
    ids=["ones", "text", "noise"],
)
def test_bytes_that_are_no_archive_are_refused(folder: Path, data: bytes) -> None:
    with pytest.raises(ArchiveRefused):
        unpack(folder, data, END)


def test_negative_size_is_refused(folder: Path) -> None:
    block = bytearray(member("a"))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()

    with pytest.raises(ArchiveRefused, match="negative size"):
        unpack(folder, bytes(block), END)


def test_stream_that_ends_early_is_no_archive(folder: Path) -> None:
    with pytest.raises(ArchiveRefused, match="only a part arrived"):
        unpack(folder, member("a", b"x" * 2000)[:1000])


def test_bytes_are_counted_before_they_are_written(folder: Path) -> None:
    left = 8000

    def spend(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            raise NotEnoughSpace("Too much.")

    unpacker = Unpacker(folder, name="top", spend=spend, most_entries=10)
    with pytest.raises(NotEnoughSpace):
        deque(map(unpacker.feed, endless()), maxlen=0)
    unpacker.close()

    assert 0 < (folder / "a").stat().st_size <= 8000


def test_small_files_and_folders_count_with_their_blocks(folder: Path) -> None:
    spent: list[int] = []
    unpacker = Unpacker(folder, name="top", spend=spent.append, most_entries=200)
    for number in range(100):
        unpacker.feed(member(f"{number}/a/b", b"x"))
    unpacker.feed(END)
    unpacker.finish()
    unpacker.close()

    taken = sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))
    assert sum(spent) >= taken > 100 * 2048


def endless() -> Iterator[bytes]:
    """An archive with one file of 8 TiB."""
    info = tarfile.TarInfo("a")
    info.size = 2**43
    yield info.tobuf(tarfile.GNU_FORMAT)
    while True:
        yield b"x" * 512


def test_empty_blocks_take_no_disk(folder: Path) -> None:
    unpack(folder, member("a", bytes(8 * 1024 * 1024)), END, piece_bytes=65536)

    status = (folder / "a").stat()
    assert status.st_size == 8 * 1024 * 1024
    assert status.st_blocks * 512 < 1024 * 1024
