"""The command that runs a user's script, tried with the shells of this machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.providers.guest.user_script import script_command

BASHISM = b"if [[ -d / ]]; then echo done; fi\n"


@pytest.fixture
def without_bash(tmp_path: Path) -> dict[str, str]:
    """The environment of a guest that has sh only."""
    folder = tmp_path / "bin"
    folder.mkdir()
    shell = shutil.which("sh")
    assert shell is not None
    (folder / "sh").symlink_to(shell)
    return {"PATH": str(folder)}


def said(script: bytes, folder: Path, env: dict[str, str]) -> list[str]:
    """Run a script as in a guest, and return the lines that it printed."""
    path = folder / "setup.sh"
    path.write_bytes(script)
    cmd = script_command(script, str(path))
    done = subprocess.run(
        cmd.argv, input=cmd.stdin, env=env, capture_output=True, check=False
    )
    return done.stdout.decode().splitlines()


def test_script_that_names_no_interpreter_runs_with_bash(tmp_path: Path) -> None:
    lines = said(BASHISM, tmp_path, dict(os.environ))

    assert lines == ["setup.sh has no #! line; it runs with bash.", "done"]


def test_guest_without_bash_runs_it_with_sh(
    tmp_path: Path, without_bash: dict[str, str]
) -> None:
    lines = said(b"#\necho done\n", tmp_path, without_bash)

    assert lines == ["setup.sh has no #! line; it runs with sh.", "done"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(b"#!/bin/bash -e\n", ("/bin/bash", "-e"), id="options"),
        pytest.param(
            b"#!/usr/bin/env python3\n", ("/usr/bin/env", "python3"), id="env"
        ),
    ],
)
def test_script_runs_with_the_interpreter_that_it_names(
    script: bytes, words: tuple[str, ...]
) -> None:
    cmd = script_command(script, "/tmp/a.sh")

    assert cmd.argv == (*words, "/tmp/a.sh")
    assert cmd.as_root


@pytest.mark.parametrize("first", [b"", b"#!", b"#! \n", b"# a comment\n", b"\xff\n"])
def test_script_without_an_interpreter_is_read_by_a_shell(first: bytes) -> None:
    cmd = script_command(first, "/tmp/a.sh")

    assert cmd.argv == ("sh", "-s", "--", "/tmp/a.sh")
