"""The line for any login shell, read by each of them, and the mark before the output."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.transport.base import command
from orchestration.transport.processes.login_shell import (
    MARK,
    Begun,
    for_any_shell,
    for_kin_of_sh,
)
from orchestration.transport.processes.tags import wrap_login_line

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


ODD_WORDS = ("=ls", "a b", "it's", "$HOME", "~", "*", "{a,b}", "", "-n", "#", "%1", "^")


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh"])
def test_kin_of_sh_runs_the_line_itself(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    script = 'printf "%s\\n" "$TESTBED_TAG" "$@"; exit 3'
    cmd = command("sh", "-c", script, "sh", *ODD_WORDS)
    line = for_kin_of_sh(wrap_login_line(cmd, "1.2", sudo=False))

    done = subprocess.run([shell, "-c", line], capture_output=True, check=False)

    words = done.stdout.removeprefix(MARK).decode().split("\n")
    assert (words, done.returncode) == (["1.2", *ODD_WORDS, ""], 3)
    assert (done.stdout.startswith(MARK), done.stderr) == (True, MARK)


@pytest.mark.parametrize("shell", ["bash", "dash"])
def test_functions_of_start_files_are_passed_by(shell: str) -> None:
    line = for_kin_of_sh(wrap_login_line(command("id", "-u"), "1.2", sudo=False))
    own = "id() { echo mine; }; "

    done = subprocess.run([shell, "-c", own + line], capture_output=True, check=False)

    assert b"mine" not in done.stdout


@pytest.mark.parametrize("shell", ["tcsh", "fish"])
@pytest.mark.parametrize("words", [("touch",), ("sh", "-c", 'touch "$0"; : !x')])
def test_another_shell_runs_no_part_of_it(
    shell: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    made = tmp_path / "made"
    cmd = command(*words, str(made))
    line = for_kin_of_sh(wrap_login_line(cmd, "1.2", sudo=False))

    done = subprocess.run([shell, "-c", line], capture_output=True, check=False)

    assert not made.exists()
    assert MARK not in done.stdout + done.stderr
    assert done.stderr


@pytest.mark.parametrize("word", ["a\nb", "é", "\t"])
def test_word_that_is_read_differently_is_for_no_login_shell(word: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        for_kin_of_sh(f"echo '{word}'")


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
