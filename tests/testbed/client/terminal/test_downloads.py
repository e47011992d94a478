"""A long answer becomes a new file whole, or no file."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import TestbedError
from testbed.client.terminal.downloads import save_new
from testbed.client.terminal.exits import Refusal


def test_pieces_become_a_new_file(folder: Path) -> None:
    save_new(folder / "a.pcap", iter([b"one", b"two"]))

    assert [one.name for one in folder.iterdir()] == ["a.pcap"]
    assert (folder / "a.pcap").read_bytes() == b"onetwo"


def test_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    (folder / "a.pcap").write_bytes(b"old")

    with pytest.raises(Refusal, match=r"a\.pcap is there already"):
        save_new(folder / "a.pcap", iter([b"new"]))

    assert (folder / "a.pcap").read_bytes() == b"old"


def test_file_that_came_meanwhile_is_not_overwritten(folder: Path) -> None:
    def pieces() -> Iterator[bytes]:
        (folder / "a.pcap").write_bytes(b"other")
        yield b"new"

    with pytest.raises(Refusal, match="is there already"):
        save_new(folder / "a.pcap", pieces())

    assert [one.read_bytes() for one in folder.iterdir()] == [b"other"]


def test_full_disk_leaves_no_part_and_says_so(folder: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"one"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TestbedError, match="was not written: No space left") as found:
        save_new(folder / "a.pcap", pieces())

    assert "still on the server" in found.value.hint
    assert not list(folder.iterdir())


def test_standard_output_gets_the_bytes(capfdbinary: pytest.CaptureFixture) -> None:
    save_new(Path("-"), iter([b"\xd4\xc3", b"\x00"]))

    assert capfdbinary.readouterr().out == b"\xd4\xc3\x00"
