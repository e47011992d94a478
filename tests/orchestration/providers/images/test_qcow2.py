"""The first bytes of qcow2 files, made by hand and by qemu-img."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from orchestration.providers.images.qcow2 import (
    HEADER_BYTES,
    Header,
    named_files,
    parse_header,
)
from tests.orchestration.stores import qcow2

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="not installed: qemu-img"
)


def head(path: Path) -> Header | None:
    with path.open("rb") as file:
        return parse_header(file.read(HEADER_BYTES))


def create(path: Path, *words: str) -> Path:
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", *words[:-1], str(path), words[-1]],
        check=True,
    )
    return path


@needs_qemu
def test_whole_disk_has_its_size_and_nothing_below(tmp_path: Path) -> None:
    assert head(create(tmp_path / "a.qcow2", "8M")) == Header(8 << 20, "")


@needs_qemu
@pytest.mark.parametrize("cluster", ["4096", "65536"])
def test_longest_name_below_is_in_reach(tmp_path: Path, cluster: str) -> None:
    long = "/".join(["x" * 200] * 5)[:1000]
    words = ("-u", "-F", "qcow2", "-b", f"/{long}", "-o", f"cluster_size={cluster}")

    found = head(create(tmp_path / "a.qcow2", *words, "8M"))

    assert found == Header(8 << 20, f"/{long}")


@needs_qemu
def test_description_in_json_names_its_file(tmp_path: Path) -> None:
    below = '{"driver":"qcow2","file":{"driver":"file","filename":"/i/golden.qcow2"}}'
    words = ("-u", "-F", "qcow2", "-b", f"json:{below}")

    found = head(create(tmp_path / "a.qcow2", *words, "8M"))

    assert found is not None
    assert "/i/golden.qcow2" in named_files(found.backing)


@pytest.mark.parametrize("data", [b"", b"QFI\xfb", b"#!/bin/sh\n" * 300, bytes(4096)])
def test_file_that_is_no_disk_has_no_header(data: bytes) -> None:
    assert parse_header(data) is None


def test_name_out_of_reach_has_a_place_to_read_it() -> None:
    far = qcow2("/images/golden.qcow2", offset=HEADER_BYTES - 4)

    found = parse_header(far[:HEADER_BYTES])

    assert found == Header(1 << 30, "", far=(HEADER_BYTES - 4, 20))


@needs_qemu
@pytest.mark.parametrize(
    ("offset", "length"),
    [(600, 20), (60_000, 20), (60_000, 1023), (600, 1024), (65_530, 20), (70_000, 20)],
)
def test_name_counts_where_qemu_takes_it(
    tmp_path: Path, offset: int, length: int
) -> None:
    path = create(tmp_path / "a.qcow2", "8M")
    with path.open("r+b") as file:
        file.seek(8)
        file.write(struct.pack(">QI", offset, length))
        file.seek(offset)
        file.write(b"x" * length)
    read = ["qemu-img", "info", "--output=json", str(path)]
    opened = subprocess.run(read, capture_output=True, check=False)

    found = head(path)

    assert found is not None
    assert bool(found.backing or found.far) is (opened.returncode == 0)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("/i/a.qcow2", "/i/a.qcow2"),
        ("a.qcow2", "a.qcow2"),
        ("file:/i/a.qcow2", "/i/a.qcow2"),
        ('json:{"file": [{"filename": "/i/a.qcow2"}]}', "/i/a.qcow2"),
        ('json:{"filename": "/i/a.qcow2", broken', "/i/a.qcow2"),
    ],
)
def test_every_way_of_writing_a_name_is_read(written: str, meant: str) -> None:
    assert meant in named_files(written)
