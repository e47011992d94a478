"""The line for any login shell, read by each of them, and the mark before the output."""

import shutil
import subprocess

import pytest

from orchestration.transport.processes.login_shell import MARK, Begun, for_any_shell

EVERY_BYTE = bytes(range(1, 256)).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "tcsh", "fish", "zsh"])
def test_line_means_the_same_in_every_login_shell(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    quoted = EVERY_BYTE.replace("'", "'\"'\"'")
    line = for_any_shell(f"printf %s '{quoted}'; exit 3")

    done = subprocess.run([shell, "-c", line], capture_output=True, check=False)

    assert done.stdout == MARK + EVERY_BYTE.encode("utf-8", "surrogateescape")
    assert (done.stderr, done.returncode) == (MARK, 3)


def test_line_does_not_hold_its_mark() -> None:
    assert MARK.decode() not in for_any_shell("true")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_output_before_the_mark_is_kept_apart(size: int) -> None:
    seen: list[bytes] = []
    begun = Begun(seen.append)
    said = b"Welcome\n" + MARK + b"42\n" + MARK

    for start in range(0, len(said), size):
        begun.feed(said[start : start + size])

    assert b"".join(seen) == b"42\n" + MARK
    assert (begun.printed, begun.is_begun) == (b"Welcome\n", True)


def test_login_that_prints_for_ever_is_not_kept_whole() -> None:
    begun = Begun(lambda _: None)

    for _ in range(100):
        begun.feed(bytes(10_000))

    assert len(begun.printed) < 100_000
    assert not begun.is_begun
