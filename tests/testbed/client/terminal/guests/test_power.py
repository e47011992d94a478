"""Single guests are brought up, made anew, checked and observed."""

import json

import pytest

from testbed.models import Host, Testbed
from tests.testbed.client.terminal.conftest import Testbed as Command

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]
LAB = ("--project-name", "lab")


@pytest.mark.parametrize(
    "words",
    [
        ("recreate", "web"),
        ("up", "--on", "web"),
        ("check-guest", "web"),
        ("check-guest", "none"),
    ],
)
def test_single_guests_of_a_testbed_that_is_not_up_are_refused(
    signed_in: Command, generated: Testbed, words: tuple[str, ...], capsys: Capture
) -> None:
    assert signed_in(*words, *LAB) == 3

    assert capsys.readouterr().err.startswith("Error: ")


def test_new_disks_and_scripts_again_are_two_ways_of_single_guests(
    signed_in: Command, generated: Testbed, capsys: Capture
) -> None:
    assert signed_in("up", "--on", "web", "-p", "-r", *LAB) == 2

    assert "New disks run all scripts by themselves." in capsys.readouterr().err


def test_load_of_a_guest_and_of_a_host_is_shown(
    signed_in: Command, generated: Testbed, hosts: tuple[Host, Host], capsys: Capture
) -> None:
    assert signed_in("load", *LAB) == 2
    assert signed_in("load", "web", "--host", "main", *LAB) == 2
    assert signed_in("load", "web", *LAB, "--json") == 0
    assert json.loads(capsys.readouterr().out)["period"] == "hour"
    assert signed_in("load", "--host", "main", "--period", "week") == 0
    assert signed_in("load", "none", *LAB) == 3
    assert "has no guest 'none'" in capsys.readouterr().err
