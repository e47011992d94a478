"""Lines out of bytes: ends, pieces, what is kept."""

import pytest

from orchestration.events import Stream
from orchestration.transport.base import Command
from orchestration.transport.output import Output, shown


def lines_of(*chunks: bytes) -> list[str]:
    lines: list[str] = []
    output = Output(Stream.STDOUT, lambda _, line: lines.append(line))
    for chunk in chunks:
        output.feed(chunk)
    output.close()
    return lines


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ((b"a\nb\n",), ["a", "b"]),
        ((b"a\n\nb",), ["a", "", "b"]),
        ((b"a\r\nb\r\n",), ["a", "b"]),
        ((b"a\r", b"\nb"), ["a", "b"]),
        ((b"1%\r2%\r3%\n",), ["1%", "2%", "3%"]),
        ((b"\r1%\r2%", b"\r3%\r"), ["1%", "2%", "3%"]),
        ((b"\xc3", b"\xbc\n"), ["ü"]),
        ((b"\xff\xfe\n",), ["\ufffd\ufffd"]),
        ((b"half",), ["half"]),
        ((), []),
    ],
)
def test_lines(chunks, lines):
    assert lines_of(*chunks) == lines


def test_lines_do_not_depend_on_where_bytes_are_cut():
    data = "eins\r\nzwei\rdrei\n\nvier ü€\rfünf".encode()

    assert lines_of(*(bytes([byte]) for byte in data)) == lines_of(data)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_line_without_end_comes_in_pieces(end):
    pieces = lines_of(b"x" * 200_000 + end)

    assert [len(piece) for piece in pieces] == [65536, 65536, 65536, 3392]


def test_the_last_mebibyte_is_kept():
    output = Output(Stream.STDERR, None)
    for number in range(5):
        output.feed(str(number).encode() * 700_000)

    assert output.text == "3" * (1024 * 1024 - 700_000) + "4" * 700_000


def test_errors_show_long_and_secret_commands_short():
    assert shown(Command(("sh", "-c", "a\n" * 500))).count("\n") == 0
    assert len(shown(Command(("sh", "-c", "a\n" * 500)))) < 210
    assert shown(Command(("mysql", "-phunter2"), secret=True)) == "mysql ***"
