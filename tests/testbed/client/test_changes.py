"""The client's commands that change a testbed, against a real server.

One that erases data prints what dies, then waits for `--yes` or for the name.
"""

import io

import pytest
from django.contrib.auth.models import User

from orchestration.providers.libvirt.snapshots.text import Label
from testbed.client.api import Client
from testbed.models import Run, SnapshotSchedule, Testbed
from tests.testbed.client.conftest import At
from tests.testbed.conftest import Doors
from tests.testbed.snapshots.rows import TAKEN, put, taken

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at(at: At, doors: Doors, monkeypatch: pytest.MonkeyPatch) -> At:
    """Run a command line of Olive at a real server, to the start of the run."""
    monkeypatch.setattr(Client, "drive", lambda *_: "succeeded")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return at


@pytest.fixture
def lab(generated: Testbed) -> Testbed:
    """The testbed, down, with a disk of each guest."""
    for name in ("web", "db"):
        generated.project.mark(name, disk="ubuntu_22_04 of today")
    generated.project.file("setup.sh").write_text("#!/bin/sh\n")
    return generated


def types(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let a person at a terminal type this."""
    typed = io.StringIO(f"{text}\n")
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)


def test_script_without_yes_erases_nothing_and_hears_what_would_die(
    at: At, lab: Testbed, capsys: pytest.CaptureFixture[str]
) -> None:
    code = at("clear-artefacts", "lab")

    said = capsys.readouterr().err.splitlines()
    assert code == 1
    assert said[:3] == [
        "This is erased:",
        "  disk web on main, size not seen",
        "  disk db on host-b, size not seen",
    ]
    assert said[-1] == "Nothing was done. Add --yes to erase this."
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "words",
    [("clear-artefacts", "lab"), ("up", "lab", "--provision")],
)
def test_yes_agrees_to_what_is_printed(
    at: At, lab: Testbed, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    code = at(*words, "--yes")

    assert code == 0
    assert "disk web on main" in capsys.readouterr().err
    assert Run.objects.get().command == words[0]


@pytest.mark.parametrize(("name", "code"), [("lab", 0), ("web", 1), ("yes", 1)])
def test_person_types_the_name(
    at: At,
    lab: Testbed,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    code: int,
) -> None:
    types(monkeypatch, name)

    assert at("clear-artefacts", "lab") == code
    assert Run.objects.exists() is (code == 0)
    said = capsys.readouterr().err
    assert said.endswith("That is not lab. Nothing was done.\n") is bool(code)


def test_guest_is_recreated_under_its_own_name(
    at: At, lab: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    Testbed.objects.update(condition=Testbed.Condition.UP)
    types(monkeypatch, "web")

    assert at("recreate", "lab", "web") == 0
    assert Run.objects.get().options == {"mode": "recreate", "selection": "web"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("delete", "lab", "web", "base"), "snapshot base on main, 97.0 MiB"),
        (("restore", "lab", "web", "base"), "present state web on main"),
        (("delete", "lab", "base", "--all"), "snapshot base on host-b, 97.0 MiB"),
    ],
)
def test_act_on_a_snapshot_needs_yes_where_something_is_lost(
    at: At,
    lab: Testbed,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    Testbed.objects.update(condition=Testbed.Condition.UP)
    for guest, host in (("web", "main"), ("db", "host-b")):
        put(lab, guest, taken("base", label=Label("olive", group=2)), host=host)

    assert at("snapshot", *words) == 1
    assert said in capsys.readouterr().err
    assert not Run.objects.exists()
    assert at("snapshot", *words, "--yes") == 0
    assert Run.objects.get().command == "snapshot"


def test_schedule_is_set_with_yes_where_snapshots_die_and_removed(
    at: At, lab: Testbed, capsys: pytest.CaptureFixture[str]
) -> None:
    nights = [
        taken(
            f"night-{i}", created_at=TAKEN + i, label=Label("olive", "", {}, "nightly")
        )
        for i in range(3)
    ]
    put(lab, "web", *nights)
    words = ("snapshot", "schedule", "lab", "nightly", "--at", "03:30")

    assert at(*words, "--keep", "2") == 1
    assert "snapshot night-0 on main" in capsys.readouterr().err
    assert not SnapshotSchedule.objects.exists()
    assert at(*words, "--keep", "2", "--yes") == 0
    said = capsys.readouterr().out
    assert said == "nightly: every night at 03:30 UTC, the last 2 stay.\n"
    assert at("snapshot", "list", "lab") == 0
    assert said in capsys.readouterr().out
    assert at("snapshot", "schedule", "lab", "daily") == 1
    assert "Write a rhythm: hourly, nightly, weekly." in capsys.readouterr().err
    assert at("snapshot", "unschedule", "lab", "nightly") == 0
    assert not SnapshotSchedule.objects.exists()


def test_run_that_erases_nothing_needs_no_yes(at: At, lab: Testbed) -> None:
    assert at("generate-artefacts", "lab") == 0
    assert Run.objects.get().command == "generate-artefacts"


def test_file_and_testbed_are_deleted(
    at: At, lab: Testbed, capsys: pytest.CaptureFixture[str]
) -> None:
    at("delete", "lab", "setup.sh", "--yes")
    assert not lab.project.file("setup.sh").exists()

    assert at("delete", "lab", "--yes") == 0

    printed = capsys.readouterr()
    assert "setup.sh was deleted." in printed.out
    assert "lab was deleted." in printed.out
    assert "disk db on host-b" in printed.err
    assert not Testbed.objects.exists()


def test_testbed_of_another_user_is_not_there(
    at: At, lab: Testbed, stranger: User, capsys: pytest.CaptureFixture[str]
) -> None:
    Testbed.objects.update(owner=stranger)

    for words in (("clear-artefacts",), ("delete",)):
        assert at(*words, "lab", "--yes") == 1

    missing = "Error: There is no testbed lab, or it is another user's.\n"
    assert capsys.readouterr().err == 2 * missing
    assert Testbed.objects.exists()
