"""The words and the line that a command becomes."""

import os
import shutil
import subprocess

import pytest

from orchestration.transport.base import Command, Scope, command
from orchestration.transport.processes.tags import tag_of, wrap_argv, wrap_line

SHELLS = [["sh"], ["bash"], ["dash"], ["busybox", "ash"]]

# What sudo does to an environment, without its rights: it keeps none of it.
SUDO = """#!/bin/sh
[ "$1" = -n ] || exit 90
shift
exec env -i PATH="$PATH" "$@"
"""


def test_line_exports_the_tag_and_keeps_the_exit_code():
    cmd = command("ip", "link", "show", "br 0", env={"LANG": "C"})

    assert wrap_line(cmd, "1.2", sudo=False) == (
        "export LANG=C TESTBED_TAG=1.2; ip link show 'br 0'; exit $?"
    )


def test_sudo_gets_the_variables_behind_it_and_carries_the_tag_itself():
    cmd = command("id", env={"A": "b c"})

    assert wrap_line(cmd, "1.2", sudo=True) == (
        "export TESTBED_TAG=1.2; sudo -n env 'A=b c' TESTBED_TAG=1.2 id; exit $?"
    )
    assert wrap_argv(cmd, "1.2", sudo=True) == [
        "sudo",
        "-n",
        "env",
        "A=b c",
        "TESTBED_TAG=1.2",
        "id",
    ]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[-1])
@pytest.mark.parametrize("sudo", [False, True], ids=["plain", "sudo"])
def test_every_shell_understands_the_line(shell, sudo, tmp_path):
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    value = 'it\'s $HOME `id` \\ "x" ü'
    script = 'printf "%s|%s|" "$V" "$TESTBED_TAG"; cat; exit 9'
    cmd = command("sh", "-c", script, env={"V": value})

    done = subprocess.run(
        [*shell, "-c", wrap_line(cmd, "1.2.3", sudo=sudo)],
        input=b"from stdin",
        capture_output=True,
        check=False,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )

    assert done.stdout.decode() == f"{value}|1.2.3|from stdin"
    assert done.returncode == 9


@pytest.mark.parametrize("name", ["A B", "A;id", "1A", "", "A=B", "Ä"])
def test_names_of_variables_are_checked(name):
    with pytest.raises(ValueError, match="not an environment variable"):
        wrap_line(command("id", env={name: "x"}), "1", sudo=False)


@pytest.mark.parametrize("argv", [(), ("",), ("A=b", "id")])
def test_a_command_needs_a_program(argv):
    with pytest.raises(ValueError, match="not a program"):
        wrap_line(Command(argv), "1", sudo=False)


@pytest.mark.parametrize("tag", ["a b", "a;b", "a..b", ".a", "a\n"])
def test_tags_that_need_quoting_are_refused(tag):
    with pytest.raises(ValueError, match="not a tag"):
        wrap_line(command("id"), tag, sudo=False)


def test_scope_without_a_tag_gets_one_of_its_own():
    scope = Scope()

    assert tag_of(Scope("1.2.web-1")) == "1.2.web-1"
    assert tag_of(scope) != tag_of(scope)
