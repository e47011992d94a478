"""The parts of `script/bench console` that need no guest: a program on a terminal."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from benchmarks.console import OnTerminal, echoes, flood, read_until


@pytest.fixture
def shell() -> Iterator[OnTerminal]:
    with closing(OnTerminal(["sh"])) as program:
        yield program


def test_each_key_is_timed_until_the_terminal_shows_it() -> None:
    with closing(OnTerminal(["cat"])) as program:
        late_ms = echoes(program, b"", 3)

    assert len(late_ms) == 3
    assert all(0 < late < 10_000 for late in late_ms)


def test_output_is_counted_up_to_its_last_word(shell: OnTerminal) -> None:
    shell.type(b"seq 1000; echo do''ne\n")

    assert read_until(shell, b"done") > len("\r\n".join(map(str, range(1, 1001))))


def test_flood_has_an_end(shell: OnTerminal) -> None:
    assert flood(shell, 1) > 0


def test_program_that_ends_is_not_waited_for() -> None:
    with closing(OnTerminal(["true"])) as program, pytest.raises(OSError, match="5"):
        read_until(program, b"never")
