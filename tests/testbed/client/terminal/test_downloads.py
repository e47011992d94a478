"""A long answer becomes a new file whole, or no file."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import TestbedError
from testbed.client.terminal.downloads import save_new
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.tables import print_content


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


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_file_is_written_where_there_are_no_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def link(part: Path, file: Path) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", link)

    save_new(folder / "a.pcap", iter([b"one"]))

    assert [one.read_bytes() for one in folder.iterdir()] == [b"one"]
    with pytest.raises(Refusal, match="is there already"):
        save_new(folder / "a.pcap", iter([b"new"]))


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


class Terminal(io.StringIO):
    """A terminal that does what codes among the bytes say."""

    def isatty(self) -> bool:
        return True


def test_archive_is_not_written_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())

    with pytest.raises(WrongUse, match="no text"):
        save_new(Path("-"), iter([b"PK\x1b]52;c;cm0=\x07"]))


def test_file_of_others_sends_no_codes_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)

    print_content([b"one\n\x1b]52;c;cm0=\x07two \xc2", b"\x9b31m\xff\n"])

    assert terminal.getvalue() == "one\ntwo <U+009B>31m\N{REPLACEMENT CHARACTER}\n"


def test_pipe_gets_a_file_as_it_is(capfdbinary: pytest.CaptureFixture) -> None:
    print_content([b"\x1b[1m", b"\xff\r\n"])

    assert capfdbinary.readouterr().out == b"\x1b[1m\xff\r\n"
