"""Testbeds get other names, words, stars, protections and accounts."""

import json
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User

from testbed.client.terminal.project import read_link
from testbed.models import Favourite, GroupAllowance, Testbed
from tests.testbed.client.terminal.conftest import Testbed as Command
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]


def test_testbed_is_renamed_and_its_folder_follows(
    signed_in: Command, testbed: Testbed, folder: Path, capsys: Capture
) -> None:
    (folder / "kvm-compose.yaml").write_text(YAML)
    assert signed_in("sync", "--send", "kvm-compose.yaml") == 0
    capsys.readouterr()

    assert signed_in("testbeds", "rename", "lab", "ring") == 0

    assert capsys.readouterr().err == "olive/lab is olive/ring now.\n"
    assert read_link(folder).testbed == "olive/ring"
    assert signed_in("status", "--json") == 0
    assert json.loads(capsys.readouterr().out)["testbed"] == "olive/ring"
    assert signed_in("testbeds", "rename", "ring", "No Name") == 3


def test_description_and_tags_are_changed(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    words = ("testbeds", "describe", "lab")
    assert signed_in(*words) == 2
    assert signed_in(*words, "--tag", "a", "--no-tags") == 2
    assert signed_in(*words, "--description", "a ring", "--tag", "ospf") == 0
    assert "olive/lab: a ring; tags: ospf." in capsys.readouterr().err
    assert signed_in(*words, "--no-tags", "--json") == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["description"], found["tags"]) == ("a ring", [])


def test_favourite_is_marked_and_unmarked(signed_in: Command, testbed: Testbed) -> None:
    assert signed_in("testbeds", "star", "lab") == 0
    assert Favourite.objects.exists()
    assert signed_in("testbeds", "star", "lab", "--remove", "--json") == 0
    assert not Favourite.objects.exists()


def test_testbed_is_charged_to_a_group_and_to_its_owner_again(
    signed_in: Command, testbed: Testbed, owner: User, capsys: Capture
) -> None:
    course = Group.objects.create(name="course")
    owner.groups.add(course)

    assert signed_in("testbeds", "charge", "lab", "none") == 3
    assert "There is no group none" in capsys.readouterr().err
    assert signed_in("testbeds", "charge", "lab", "course") == 3
    assert "no such group with a quota" in capsys.readouterr().err
    GroupAllowance.objects.create(group=course)
    assert signed_in("testbeds", "charge", "lab", "course") == 0
    assert "is charged to group course." in capsys.readouterr().err
    assert signed_in("testbeds", "charge", "lab", "--json") == 0
    assert json.loads(capsys.readouterr().out)["account"] == "olive"


def test_testbed_and_guest_are_protected_until_that_is_lifted(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    words = ("testbeds", "protect", "lab")
    assert signed_in(*words, "--list") == 0
    assert "Nothing of olive/lab is protected." in capsys.readouterr().err
    assert signed_in(*words) == 0
    said = capsys.readouterr()
    assert said.err == "olive/lab is protected.\n"
    assert said.out.startswith("the whole testbed\tolive\t")
    assert signed_in(*words, "--guest", "none") == 3
    assert signed_in(*words, "--guest", "web", "--json") == 0
    found = json.loads(capsys.readouterr().out)["items"]
    assert {one["guest"] for one in found} == {"", "web"}

    assert signed_in("testbeds", "destroy", "lab", "--yes") == 3
    assert signed_in("testbeds", "unprotect", "lab") == 0
    assert signed_in("testbeds", "unprotect", "lab", "--guest", "web") == 0
    assert signed_in("testbeds", "destroy", "lab", "--yes") == 0


def test_testbed_that_is_made_of_a_yaml_with_errors_says_how_many(
    signed_in: Command, testbed: Testbed, folder: Path, capsys: Capture
) -> None:
    yaml = YAML.replace("bridge: lan", "bridge: none")
    (folder / "kvm-compose.yaml").write_text(yaml)

    assert signed_in("testbeds", "create", "ring") == 0

    said = capsys.readouterr().err
    assert "The server finds 2 errors in kvm-compose.yaml" in said
    assert "`testbed check`" in said
