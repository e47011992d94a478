"""The trash, schedules, record and artefacts of a testbed."""

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from testbed.client.board.moments import moment
from testbed.models import SnapshotSchedule, Testbed, TrashItem
from tests.testbed.client.terminal.conftest import Testbed as Command

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]
LAB = ("--project-name", "lab")


def test_deleted_testbed_is_listed_and_brought_back(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    assert signed_in("testbeds", "destroy", "lab") == 0
    number = str(TrashItem.objects.get().pk)
    capsys.readouterr()

    assert signed_in("trash", "list", "-o", "wide") == 0
    assert capsys.readouterr().out.startswith(f"{number}\tlab\t")
    assert signed_in("trash", "restore", "99999") == 3
    assert "has the number 99999" in capsys.readouterr().err
    assert signed_in("trash", "restore", number, "--json") == 0
    assert json.loads(capsys.readouterr().out)["testbed"] == "olive/lab"
    assert signed_in("trash", "list") == 0
    assert "The trash is empty." in capsys.readouterr().err


def test_extended_testbed_says_when_it_ends(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    testbed.condition = Testbed.Condition.UP
    testbed.save()

    assert signed_in("extend", "--hours", "48", *LAB) == 0

    ends_at = testbed.expiry.ends_at
    assert (
        f"olive/lab ends at {moment(ends_at.isoformat())}." in capsys.readouterr().err
    )


def test_nothing_is_removed_for_good_without_yes(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    assert signed_in("testbeds", "destroy", "lab") == 0
    number = str(TrashItem.objects.get().pk)

    assert signed_in("trash", "remove", number) == 3
    assert signed_in("trash", "empty") == 3
    assert "Add --yes" in capsys.readouterr().err
    assert TrashItem.objects.count() == 1
    assert signed_in("trash", "remove", number, "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": 1}
    assert signed_in("trash", "remove", number, "--yes") == 3
    assert signed_in("trash", "empty", "--yes") == 0
    assert "0 things removed for good." in capsys.readouterr().err


@pytest.mark.parametrize("at", ["25:00", "3:05", "03:60", "noon"])
def test_schedule_at_no_time_of_a_day_is_wrong_use(
    signed_in: Command, capsys: Capture, at: str
) -> None:
    assert signed_in("schedules", "set", "nightly", "--at", at, *LAB) == 2

    assert f"{at} is no time of a day; write it as 03:00." in capsys.readouterr().err


def test_schedule_is_set_listed_and_removed(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("schedules", "set", "weekly", "--at", "03:30", "--day", "monday", *LAB)
    assert signed_in(*words, "--keep", "3") == 0

    row = SnapshotSchedule.objects.get()
    assert (row.rhythm, row.weekday, f"{row.at:%H:%M}", row.keep) == (
        "weekly",
        1,
        "03:30",
        3,
    )
    assert capsys.readouterr().out.startswith("weekly\t")
    assert signed_in("schedules", "list", *LAB, "--json") == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["keep"] == 3
    assert signed_in("schedules", "remove", "weekly", *LAB) == 0
    assert not SnapshotSchedule.objects.exists()
    assert signed_in("schedules", "list", *LAB) == 0
    assert "olive/lab has no schedule." in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("hourly", "--at", "03:00"),
        ("nightly", "--every", "2"),
        ("nightly", "--day", "monday"),
        ("daily",),
    ],
)
def test_options_of_another_rhythm_are_wrong_use(
    signed_in: Command, words: tuple[str, ...]
) -> None:
    assert signed_in("schedules", "set", *words, *LAB) == 2


def test_record_of_a_testbed_is_for_its_owner_and_that_of_the_lab_for_admins(
    signed_in: Command, testbed: Testbed, member: User, capsys: Capture
) -> None:
    assert signed_in("testbeds", "describe", "lab", "--tag", "ospf") == 0
    capsys.readouterr()

    assert signed_in("record", *LAB) == 0
    row = capsys.readouterr().out.splitlines()[0].split("\t")
    assert row[1] == "olive"
    assert signed_in("record", *LAB, "--user", "nemo") == 0
    assert "The record has no such entry." in capsys.readouterr().err
    assert signed_in("record", *LAB, "--since", "no day") == 3
    assert signed_in("record", "--lab") == 3


def test_artefacts_are_listed_and_printed_and_overwrite_no_file(
    signed_in: Command, generated: Testbed, folder: Path, capsys: Capture
) -> None:
    assert signed_in("artefacts", "list", *LAB) == 0
    assert "plan-up.txt\t" in capsys.readouterr().out
    assert signed_in("artefacts", "show", "plan-up.txt", *LAB) == 0
    assert capsys.readouterr().out
    assert signed_in("artefacts", "show", "none", *LAB) == 3
    assert "There is no artefact none." in capsys.readouterr().err
    (folder / "all.zip").write_bytes(b"old")
    assert signed_in("artefacts", "download", "all.zip", *LAB) == 3
    assert "all.zip is there already." in capsys.readouterr().err
