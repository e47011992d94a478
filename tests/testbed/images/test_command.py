"""The command that prunes images: the files that it names, asks for and deletes.

It deletes nothing unless it is told to, looks again after the answer, and fails when a
host did not answer.
"""

from io import StringIO

import pytest
from django.core.management import CommandError

from orchestration.errors import HostUnreachable
from orchestration.state.model import State
from testbed.images import pruning as images_task
from tests.orchestration.stores import GOLDEN
from tests.testbed.images.image_hosts import Machines
from tests.testbed.images.pruning import OTHER_GOLDEN, command, name_of


def test_silent_host_keeps_its_images_and_mains_and_fails_the_command(
    machines: Machines, state: State
) -> None:
    machines.main.put(GOLDEN)
    machines.other.put(GOLDEN)
    machines.dead = {"host-b"}

    with pytest.raises(CommandError, match="host-b"):
        command("--yes")

    assert GOLDEN in machines.main.names() & machines.other.names()


def test_images_in_use_are_not_named(machines: Machines, state: State) -> None:
    assert name_of(state) in machines.main.names()

    assert command("--dry-run") == "0 B would be freed.\n"


def test_other_hosts_can_be_pruned_while_one_is_silent(
    machines: Machines, state: State
) -> None:
    machines.other.put(GOLDEN)
    machines.dead = {"main"}

    assert "removed" in command("--yes", "--host", "host-b")
    assert GOLDEN not in machines.other.names()


def test_host_that_falls_silent_in_the_middle_is_reported(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    machines.other.put(OTHER_GOLDEN)
    asked = []

    def fail(host, image, **more):
        asked.append(image.name)
        raise HostUnreachable("It went away.")

    monkeypatch.setattr(images_task, "remove_image", fail)

    with pytest.raises(CommandError, match="host-b"):
        command("--yes")

    assert len(asked) == 1


def test_dry_run_says_what_would_go_and_deletes_nothing(
    machines: Machines, state: State
) -> None:
    machines.other.put(GOLDEN, content=bytes(1 << 20))

    said = command("--dry-run")

    assert GOLDEN in machines.other.names()
    line, total = said.splitlines()
    start = f"host-b: {GOLDEN}: would go (1.0 MiB, last used "
    assert line.startswith(start)
    assert total == "1.0 MiB would be freed."


def test_only_images_that_were_not_used_for_long_go_when_asked_so(
    machines: Machines,
) -> None:
    machines.other.put(GOLDEN, days=30)

    # It was put there just now, whatever its content's age.
    assert "removed" not in command("--yes", "--older-than", "1")
    assert "removed" in command("--yes", "--older-than", "0")


def test_command_deletes_nothing_unless_it_is_told(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.other.put(GOLDEN)
    monkeypatch.setattr("sys.stdin", StringIO(""))

    with pytest.raises(CommandError, match="--yes"):
        command()

    assert GOLDEN in machines.other.names()


def test_unknown_host_is_refused(machines: Machines) -> None:
    with pytest.raises(CommandError, match="no host nowhere"):
        command("--host", "nowhere")


@pytest.mark.parametrize(("answer", "is_left"), [("y", False), ("no", True)])
def test_command_asks_on_a_terminal(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, answer: str, is_left: bool
) -> None:
    machines.other.put(GOLDEN)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)

    said = command()

    assert "would go" in said
    assert (GOLDEN in machines.other.names()) is is_left


def test_command_looks_again_after_the_answer(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = machines.other.put(GOLDEN)

    def answer(question: str) -> str:
        machines.other.layer("web", str(path), testbed="ghost")
        machines.other.put(OTHER_GOLDEN)
        return "y"

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", answer)

    command()

    # One has a user now, and nobody was asked about the other.
    assert machines.other.names() == {GOLDEN, OTHER_GOLDEN}
