"""The words of kvm-compose: each works, and its present spelling is named."""

import pytest

from testbed.client.terminal.former import FORMER, present, without_levels
from testbed.client.terminal.program import COMMANDS
from tests.testbed.client.terminal.conftest import Testbed as Command

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("deployment create lab", "testbeds create lab"),
        ("deployment destroy lab", "testbeds destroy lab"),
        ("deployment list", "testbeds list"),
        ("deployment info lab", "testbeds info lab"),
        ("deployment reset-state lab", "cancel --project-name lab"),
        ("deployment reset-state --help", "cancel --help"),
        ("testbed-snapshot", "snapshot create --all"),
        ("testbed-snapshot -s", "snapshot create --all"),
        ("testbed-snapshot --snapshot-guests --json", "snapshot create --all --json"),
        ("cloud-images", "images list"),
        ("setup-config", "hosts"),
        ("analysis-tools tcp-dump web out.pcap", "capture web -w out.pcap"),
        ("exec web shell-command ls -l", "exec web --shell -- ls -l"),
        ("exec web user-script a.sh one", "exec web --script a.sh -- one"),
        ("exec web user-script a.sh", "exec web --script a.sh"),
        ("up -a", "up"),
        ("up --reapply-acl --json", "up --json"),
    ],
)
def test_former_words_are_the_present_ones(before: str, now: str) -> None:
    words, said = present(before.split())

    assert " ".join(words) == now
    assert said.endswith(" now.")


@pytest.mark.parametrize(
    "words",
    [
        "generate-artefacts",
        "clear-artefacts",
        "down",
        "up -p -r",
        "snapshot create -n web -s base",
        "snapshot create -a",
        "exec web -- shell-command",
        "exec web --shell -- ls",
    ],
)
def test_words_that_stayed_are_not_changed(words: str) -> None:
    assert present(words.split()) == (words.split(), "")


def test_former_words_lead_to_commands_that_are_there() -> None:
    assert {new[0] for new in FORMER.values()} <= COMMANDS.keys()
    assert not {old[0] for old in FORMER} & COMMANDS.keys() - {"exec", "up"}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ("-v info up", "-v up"),
        ("-v trace up", "-v -v up"),
        ("-v error up", "up"),
        ("--verbosity=warn up", "up"),
        ("--verbosity trace up", "-v -v up"),
    ],
)
def test_former_levels_are_how_often_v_is_given(before: str, now: str) -> None:
    words, said = without_levels(before.split())

    assert " ".join(words) == now
    assert said.endswith(" now.")


@pytest.mark.parametrize("words", ["-v up", "up -v", "exec web -- -v info", "-v"])
def test_levels_that_are_none_stay(words: str) -> None:
    assert without_levels(words.split()) == (words.split(), "")


@pytest.mark.django_db(transaction=True)
def test_former_list_is_printed_below_the_present_words(
    signed_in: Command, capsys: Capture
) -> None:
    assert signed_in("-v", "info", "deployment", "list") == 0

    said = capsys.readouterr().err
    assert "`-v info` is `-v` now." in said
    assert "`deployment list` is `testbeds list` now." in said
    assert "There is no testbed." in said


@pytest.mark.parametrize(
    ("before", "usage"),
    [
        (("deployment", "create"), "testbeds create"),
        (("deployment", "reset-state"), "cancel"),
        (("testbed-snapshot",), "snapshot create"),
        (("cloud-images",), "images list"),
        (("setup-config",), "hosts"),
        (("up", "-a"), "up"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_help_of_former_words_is_that_of_the_present_ones(
    signed_in: Command, before: tuple[str, ...], usage: str, capsys: Capture
) -> None:
    assert signed_in(*before, "--help") == 0

    assert f"Usage: testbed {usage} " in capsys.readouterr().out
