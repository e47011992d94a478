"""Uploads become plain relative paths, whatever an archive tries."""

import io
import struct
import subprocess
import sys
import tarfile
import unicodedata
import zipfile

import pytest

from orchestration.errors import PathOutside
from testbed.testbeds import archive_reader, uploads
from testbed.testbeds.uploads import (
    MAX_FILES,
    UploadRefused,
    as_testbed,
    read_archive,
    safe_path,
)


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tarfile.TarInfo, mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def member(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, to: str = ""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, to
    return info


@pytest.mark.parametrize(
    ("name", "mode"), [("x.tar", "w"), ("x.tar.gz", "w:gz"), ("X.TGZ", "w:gz")]
)
def test_tar_is_read_with_its_folders(name: str, mode: str):
    content = tarred(
        member("lab", kind=tarfile.DIRTYPE), member("lab/a.sh", size=3), mode=mode
    )

    assert read_archive(name, content) == {"lab/a.sh": b"xxx"}


def test_zip_is_read_with_its_folders():
    content = zipped(**{"lab/": b"", "lab/a.sh": b"echo"})

    assert read_archive("x.zip", content) == {"lab/a.sh": b"echo"}


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil"])
def test_traversal_is_refused(name: str):
    with pytest.raises(PathOutside):
        read_archive("x.tar.gz", tarred(member(name, size=1)))
    with pytest.raises(PathOutside):
        read_archive("x.zip", zipped(**{name: b"x"}))


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
    ],
)
def test_links_and_devices_are_refused(kind: bytes):
    with pytest.raises(UploadRefused, match="a link or a device"):
        read_archive("x.tgz", tarred(member("evil", kind=kind, to="/etc/passwd")))


def test_link_in_a_zip_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("evil")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")

    with pytest.raises(UploadRefused, match="a link or a device"):
        read_archive("x.zip", buffer.getvalue())


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)

    with pytest.raises(UploadRefused, match="more than"):
        read_archive("x.zip", zipped(a=b"0" * 5000))
    with pytest.raises(UploadRefused, match="more than"):
        read_archive("x.zip", zipped(a=b"0" * 600, b=b"0" * 600))
    with pytest.raises(UploadRefused, match="more than"):
        read_archive("x.tar.gz", tarred(member("a", size=5000)))


def test_too_many_entries_are_refused():
    files = [member(f"f{n}") for n in range(MAX_FILES + 1)]
    folders = [member(f"d{n}", kind=tarfile.DIRTYPE) for n in range(4 * MAX_FILES + 1)]

    with pytest.raises(UploadRefused, match=f"more than {MAX_FILES} files"):
        read_archive("x.tgz", tarred(*files))
    with pytest.raises(UploadRefused, match="too many entries"):
        read_archive("x.tgz", tarred(*folders))


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tgz"])
@pytest.mark.parametrize(
    "content",
    [b"", b"no archive", b"PK\x03\x04 broken", tarred(member("a", size=900))[:60]],
    ids=["empty", "text", "broken zip", "half a tar"],
)
def test_file_that_is_no_archive_is_refused(name: str, content: bytes):
    with pytest.raises(UploadRefused, match="not an archive that can be read"):
        read_archive(name, content)


@pytest.mark.parametrize(
    ("name", "mode"), [("x.tgz", "w:xz"), ("x.tar.gz", "w:bz2"), ("x.tar", "w:gz")]
)
def test_archive_is_unpacked_only_as_its_name_says(name: str, mode: str):
    content = tarred(member("a.sh", size=3), mode=mode)

    with pytest.raises(UploadRefused, match="not an archive that can be read") as found:
        read_archive(name, content)

    assert "packed as its name says" in found.value.hint


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_name_is_not_read(layout: int):
    buffer = io.BytesIO()
    long = member("d/" * (archive_reader.MAX_HEADER_BYTES // 2) + "a.sh")
    with tarfile.open(fileobj=buffer, mode="w:gz", format=layout) as archive:
        archive.addfile(long)

    with pytest.raises(UploadRefused, match="A name in the archive is too long"):
        read_archive("x.tgz", buffer.getvalue())


def test_files_that_are_left_out_count_while_they_are_unpacked(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(uploads, "MAX_BYTES", 1000)
    monkeypatch.setattr(uploads, "MAX_FILES", 3)

    with pytest.raises(UploadRefused, match="more than"):
        read_archive("x.tgz", tarred(*(member(f"._{n}", size=999) for n in range(12))))


@pytest.mark.parametrize("count", [3, 0xFFFF], ids=["lying", "honest"])
def test_directory_of_a_million_entries_is_not_read(count: int):
    entry = b"PK\x01\x02" + bytes(24) + b"\1\0" + bytes(16) + b"/"
    directory = entry * 1_000_000
    end = struct.pack("<4s4xHHII2x", b"PK\5\6", count, count, len(directory), 0)

    with pytest.raises(UploadRefused, match="too many entries"):
        read_archive("x.zip", directory + end)


def test_directory_whose_size_stands_in_another_record_is_not_read():
    small = zipped(a=b"x")
    at = small.index(b"PK\5\6")
    locator = b"PK\6\7" + bytes(16)

    with pytest.raises(UploadRefused, match="too many entries"):
        read_archive("x.zip", small[:at] + locator + small[at:])


def test_reader_has_hard_limits():
    words = (
        "from testbed.testbeds import archive_reader as reader; reader.limit_process(); "
        "bytes(reader.MEMORY_BYTES)"
    )

    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)

    assert done.stderr.splitlines()[-1] == "MemoryError"


def test_reader_that_is_killed_is_no_success(monkeypatch: pytest.MonkeyPatch):
    half = b'{"name": "a", "size": 1}\nx{"name": "b", "si'
    ended = subprocess.CompletedProcess([], -9, half, b"")
    monkeypatch.setattr(uploads.subprocess, "run", lambda *words, **options: ended)

    with pytest.raises(UploadRefused, match="not an archive that can be read"):
        read_archive("x.zip", zipped(a=b"x"))


def test_encrypted_zip_is_refused():
    content = bytearray(zipped(a=b"secret"))
    for header, flag_at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(header) + flag_at] |= 1

    with pytest.raises(UploadRefused) as refused:
        read_archive("x.zip", bytes(content))

    assert "without a password" in refused.value.hint


def test_one_top_folder_is_left_out():
    found = as_testbed({"lab/kvm-compose.yaml": b"y", "lab/scripts/a": b"a"})

    assert found == {"kvm-compose.yaml": b"y", "scripts/a": b"a"}


def test_short_ending_is_made_long():
    assert as_testbed({"kvm-compose.yml": b"y"}) == {"kvm-compose.yaml": b"y"}


LAB = {"lab/kvm-compose.yaml": b"y", "lab/setup.sh": b"s"}


@pytest.mark.parametrize(
    "clutter",
    [
        {"__MACOSX/lab/._kvm-compose.yaml": b"m", "__MACOSX/._lab": b"m"},
        {".DS_Store": b"d", "lab/.DS_Store": b"d", "lab/._setup.sh": b"m"},
        {"desktop.ini": b"i", "lab/Desktop.ini": b"i", "lab/Thumbs.db": b"t"},
    ],
    ids=["Finder", "DS_Store", "Windows"],
)
def test_files_that_a_desktop_added_are_left_out(clutter: dict[str, bytes]):
    content = zipped(**clutter, **LAB)

    found = as_testbed(read_archive("lab.zip", content))

    assert found == {"kvm-compose.yaml": b"y", "setup.sh": b"s"}


def test_back_slashes_of_a_zip_are_folders():
    content = zipped(**{"lab\\": b""}, **{k.replace("/", "\\"): LAB[k] for k in LAB})

    found = as_testbed(read_archive("lab.zip", content))

    assert found == {"kvm-compose.yaml": b"y", "setup.sh": b"s"}


def test_back_slash_elsewhere_is_named():
    with pytest.raises(PathOutside, match=r"uses \\ between folders"):
        read_archive("x.tgz", tarred(member("lab\\a.sh", size=1)))


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("ü.sh".encode(), "ü.sh"),
        ("☃.sh".encode(), "☃.sh"),
        ("ü.sh".encode("cp437"), "ü.sh"),
    ],
    ids=["UTF-8", "UTF-8 snowman", "code page 437"],
)
def test_zip_that_does_not_tell_its_encoding_keeps_its_names(stored: bytes, meant: str):
    place = b"?" * len(stored)
    content = zipped(**{place.decode(): b"x"}).replace(place, stored)

    assert read_archive("x.zip", content) == {meant: b"x"}


def test_names_that_macos_decomposed_arrive_composed():
    decomposed = unicodedata.normalize("NFD", "sétup.sh")

    found = as_testbed({"kvm-compose.yaml": b"y", decomposed: b"s"})

    assert found == {"kvm-compose.yaml": b"y", "sétup.sh": b"s"}


def test_missing_yaml_is_said_with_what_is_there():
    with pytest.raises(UploadRefused, match=r"no kvm-compose.yaml among: a.sh, b.sh"):
        as_testbed({"b.sh": b"", "a.sh": b""})
    with pytest.raises(UploadRefused, match="no files"):
        as_testbed({})


def test_dots_in_paths_are_left_out():
    assert safe_path("./a//b/./c.sh") == "a/b/c.sh"


@pytest.mark.parametrize("path", ["a/" * 3000 + "a.sh", "é" * 200, "a" * 6000])
def test_path_that_no_file_system_takes_is_refused(path: str):
    with pytest.raises(PathOutside, match="is too long"):
        safe_path(path)


@pytest.mark.parametrize("name", ["a\nb.sh", "a\tb", "a\0", "bad-\udce9.sh"])
def test_names_that_no_address_can_hold_are_refused(name: str):
    with pytest.raises(PathOutside):
        safe_path(name)
