"""A testbed's source is set, shown, fetched and removed from the terminal."""

import json

import pytest

from testbed.models import Fetch, Source, Testbed
from tests.testbed.client.terminal.conftest import Testbed as Command
from tests.testbed.conftest import Doors

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]
LAB = ("--project-name", "lab")
URL = "https://git.example.org/lab/testbed.git"


def test_source_is_set_shown_and_removed(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    assert signed_in("source", "show", *LAB) == 3
    assert "olive/lab has no source." in capsys.readouterr().err
    assert signed_in("source", "set", URL, "--branch", "dev", *LAB) == 0
    said, then = capsys.readouterr()
    assert "Fetch it with `testbed source fetch`." in then
    assert f"repository: {URL}\nbranch: dev\n" in said
    assert "secret, shown once: " in said

    assert signed_in("source", "show", *LAB, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["url"], found["secret"]) == (URL, None)
    assert signed_in("source", "remove", *LAB) == 0
    assert not Source.objects.exists()


def test_key_of_a_source_by_ssh_says_where_its_host_key_is_confirmed(
    signed_in: Command, testbed: Testbed, capsys: Capture
) -> None:
    assert signed_in("source", "set", "git@git.example.org:lab.git", *LAB) == 0

    said, then = capsys.readouterr()
    assert "Add the deploy key to the repository" in then
    assert "/testbeds/olive/lab/source/" in then
    assert "deploy key: ssh-" in said
    assert "host key: to confirm on http://" in said
    assert "/testbeds/olive/lab/source/" in said


def test_fetch_that_failed_before_is_listed_and_another_is_asked_for(
    signed_in: Command, testbed: Testbed, doors: Doors, capsys: Capture
) -> None:
    assert signed_in("source", "fetch", *LAB) == 3
    assert signed_in("source", "set", URL, *LAB) == 0
    Fetch.objects.create(testbed=testbed, status="failed", said="git said no.")
    capsys.readouterr()

    assert signed_in("source", "fetches", *LAB) == 0
    assert "\tfailed\t" in capsys.readouterr().out
    assert signed_in("source", "fetch", "--detach", *LAB) == 0
    assert "waiting" in capsys.readouterr().err
