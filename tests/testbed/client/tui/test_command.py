"""`testbed tui` where it cannot be drawn: one sentence, a hint, exit code 2."""

import subprocess
import sys

import pytest

from testbed.client.terminal.program import run
from testbed.client.tui import command

PROGRAM = """
import sys
from testbed.client.terminal.program import run
run(["--help"])
sys.exit("textual" in sys.modules or "httpx" in sys.modules)
"""


def test_interface_needs_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tui"]) == 2
    assert "Error: The interface needs a terminal." in capsys.readouterr().err


def test_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)

    assert run(["tui"]) == 2
    said = capsys.readouterr().err
    assert "The package textual is missing" in said
    assert "pip install textual" in said


def test_list_of_commands_imports_no_textual() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert "tui" in done.stdout
