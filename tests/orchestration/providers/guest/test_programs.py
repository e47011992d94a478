"""Programs, lines and scripts run as they are written, under the user's conditions."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.plan.execution import Conditions
from orchestration.providers.guest.programs import (
    interpreter_of,
    program,
    script,
    shell_line,
)
from orchestration.transport.base import Command
from orchestration.transport.processes.tags import wrap_line

TORTURE = (
    "a b",
    "",
    "'",
    '"',
    "$HOME",
    "`id`",
    "$(id)",
    "line\nline",
    "-rf",
    "--",
    "*",
    "é€\N{PILE OF POO}",
    "\\",
    "!!",
    "~",
    "#",
    "tab\there",
)
PRINT_ALL = "for a; do printf '%s|' \"$a\"; done"


def run(cmd: Command) -> subprocess.CompletedProcess[str]:
    """Run a command as sshd does: its line in a shell, whatever its words are."""
    line = wrap_line(replace(cmd, grouped=False), "demo.r1.b1.t1", sudo=False)
    return subprocess.run(
        ["sh", "-c", line], input=cmd.stdin.decode(), capture_output=True, text=True
    )


def script_of(folder: Path, text: str) -> tuple[bytes, str]:
    path = folder / "my script.sh"
    path.write_text(text)
    path.chmod(0o755)
    return text.encode(), str(path)


def test_arguments_arrive_as_they_are() -> None:
    found = run(program(("sh", "-c", PRINT_ALL, "sh", *TORTURE), Conditions()))

    assert found.stdout == "".join(f"{word}|" for word in TORTURE)


def test_arguments_arrive_as_they_are_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a $(folder)"
    folder.mkdir()
    conditions = Conditions(folder=str(folder))

    found = run(program(("sh", "-c", f"pwd; {PRINT_ALL}", "sh", *TORTURE), conditions))

    assert found.stdout == f"{folder}\n" + "".join(f"{word}|" for word in TORTURE)


def test_arguments_arrive_as_they_are_for_another_user() -> None:
    conditions = Conditions(user="nobody", env={"KEY": "a 'b' $c"})
    words = ("sh", "-c", f'id -un; echo "$KEY"; {PRINT_ALL}', "sh", *TORTURE)

    found = run(program(words, conditions))

    wanted = "nobody\na 'b' $c\n" + "".join(f"{word}|" for word in TORTURE)
    assert (found.stdout, found.stderr) == (wanted, "")


def test_other_users_program_carries_the_mark_of_its_run() -> None:
    conditions = Conditions(user="nobody")

    found = run(program(("sh", "-c", 'echo "$TESTBED_TAG"'), conditions))

    assert found.stdout == "demo.r1.b1.t1\n"


def test_hundred_kilobytes_arrive_in_one_argument() -> None:
    found = run(
        program(("sh", "-c", 'echo "${#1}"', "sh", "x" * 100_000), Conditions())
    )

    assert found.stdout == "100000\n"


def test_values_of_variables_are_in_no_command_line() -> None:
    values = {"KEY": "confidential 'and' $odd\n", "EMPTY": "", "LONG": "x" * 100_000}
    conditions = Conditions(env=values, stdin="rest\nof it", user="nobody")
    show = (
        'printf "%s|" "$KEY" "$EMPTY" "${#LONG}"; cat; '
        "tr '\\0' ' ' < /proc/$PPID/cmdline; tr '\\0' ' ' < /proc/$$/cmdline"
    )

    cmd = program(("sh", "-c", show), conditions)
    found = run(cmd)

    assert found.stdout.startswith("confidential 'and' $odd\n||100000|rest\nof it")
    assert "confidential" not in f"{found.stdout[10:]} {' '.join(cmd.argv)}"
    assert cmd.env == {}


def test_folder_that_is_not_there_is_an_error_of_the_command() -> None:
    found = run(program(("true",), Conditions(folder="/nowhere/at/all")))

    assert found.returncode == 126
    assert "/nowhere/at/all" in found.stderr


def test_program_reads_its_standard_input() -> None:
    found = run(program(("cat",), Conditions(stdin="one\ntwo")))

    assert found.stdout == "one\ntwo"


def test_shell_reads_a_line_only_when_it_was_asked_for() -> None:
    assert run(shell_line("echo a | tr a b; exit 3", Conditions())).returncode == 3
    assert run(program(("echo", "a | tr a b"), Conditions())).stdout == "a | tr a b\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("#!/bin/sh\n", ("/bin/sh",)),
        ("#! /usr/bin/env python3 \n", ("/usr/bin/env", "python3")),
        ("#!/bin/sh -eu\n", ("/bin/sh", "-eu")),
        ("echo\n", ()),
        ("", ()),
    ],
)
def test_interpreter_is_the_one_that_the_script_names(
    text: str, words: tuple[str, ...]
) -> None:
    assert interpreter_of(text.encode()) == words


@pytest.mark.parametrize("first", ["#!/bin/sh\n", "#!/bin/sh -u\n", ""])
def test_script_gets_its_arguments_and_is_removed(tmp_path: Path, first: str) -> None:
    content, path = script_of(tmp_path, f"{first}{PRINT_ALL}\nexit 7\n")

    found = run(script(content, path, TORTURE, Conditions()))

    assert found.stdout == "".join(f"{word}|" for word in TORTURE)
    assert found.returncode == 7
    assert not Path(path).exists()


def test_script_without_interpreter_runs_with_bash(tmp_path: Path) -> None:
    content, path = script_of(tmp_path, 'echo "${BASH_VERSION:+bash}"\n')

    assert run(script(content, path, (), Conditions())).stdout == "bash\n"


def test_script_reads_the_standard_input_that_was_given(tmp_path: Path) -> None:
    content, path = script_of(tmp_path, "#!/bin/sh\ncat\n")

    found = run(script(content, path, (), Conditions(stdin="given")))

    assert found.stdout == "given"
