"""Saved commands, and what commands in guests left on the server."""

import json
from pathlib import Path

import pytest

from testbed.models import SavedCommand, Testbed
from tests.testbed.client.terminal.conftest import Testbed as Command

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]
LAB = ("--project-name", "lab")


def test_command_is_saved_with_its_options_listed_and_deleted(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("commands", "save", "who", "@all", "--shell", "--sudo", *LAB)
    assert signed_in(*words, "--", "who {file}") == 0

    row = SavedCommand.objects.get()
    assert row.execution["words"] == ["who {file}"]
    assert row.execution["conditions"]["sudo"] is True
    assert f"as number {row.pk}." in capsys.readouterr().err
    assert signed_in("commands", "list", *LAB) == 0
    shown = f"{row.pk}\twho\tfile\tthis testbed\n"
    assert capsys.readouterr().out == shown
    assert signed_in("commands", "delete", "none", *LAB) == 3
    assert signed_in("commands", "delete", "who", *LAB, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"deleted": row.pk}
    assert not SavedCommand.objects.exists()


def test_saved_command_is_run_with_the_values_of_its_parameters(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("commands", "save", "who", "@all", "--shell", *LAB)
    assert signed_in(*words, "--", "who {file}") == 0

    assert signed_in("commands", "run", "who", "file", *LAB) == 2
    assert signed_in("commands", "run", "none", *LAB) == 3
    assert "There is no saved command none." in capsys.readouterr().err
    assert signed_in("commands", "run", "who", "file=/tmp/x", *LAB) == 3
    assert "Error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("capture",),
        ("capture", "web", "--bridge", "lan"),
        ("capture", "web", "-w", "-"),
        ("answers", "x"),
        ("fetched", "0"),
    ],
)
def test_words_about_results_that_do_not_go_together_are_wrong_use(
    signed_in: Command, words: tuple[str, ...]
) -> None:
    assert signed_in(*words) == 2


@pytest.mark.parametrize(
    "words",
    [("answers", "9999"), ("fetched", "9999"), ("packets", "9999", "new.pcap")],
)
def test_results_of_a_run_that_is_not_there_are_refused(
    signed_in: Command, folder: Path, words: tuple[str, ...], capsys: Capture
) -> None:
    assert signed_in(*words) == 3

    assert capsys.readouterr().err.startswith("Error: ")
    assert not list(folder.iterdir())


def test_capture_overwrites_no_file_and_needs_guests_that_run(
    signed_in: Command, generated: Testbed, folder: Path, capsys: Capture
) -> None:
    (folder / "old.pcap").write_bytes(b"old")

    assert signed_in("capture", "web", "-w", "old.pcap", *LAB) == 3
    assert "old.pcap is there already." in capsys.readouterr().err
    assert signed_in("capture", "web", "-w", "new.pcap", *LAB) == 3
    assert not (folder / "new.pcap").exists()
    assert signed_in("capture", "--list", *LAB) == 0
    assert "web" in capsys.readouterr().out
