"""Up writes the users' keys into guests that it sets up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.engine import Work, share
from orchestration.events import Status
from orchestration.plan.model import Command, Instruction, Kind, Options
from orchestration.providers.guest.user_keys import keys_digest
from tests.orchestration.instructions.rehearsal import Rehearsal

KEY = "ssh-ed25519 AAAA olive:laptop"


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.up()
    yield rehearsal
    rehearsal.hosts.close()


def set_up(rehearsal: Rehearsal, keys: tuple[str, ...] | None) -> tuple[Status, str]:
    """Set guest `a` up once more, with these keys of users."""
    plan = rehearsal.plan(Command.UP, Options())
    wanted: Instruction = next(
        i for i in plan.instructions if i.kind == Kind.SET_UP_GUESTS
    )
    work = Work(
        instruction=share(wanted, "host-a"),
        host="host-a",
        state=rehearsal.state,
        project=rehearsal.project,
        options=Options(),
        user_keys=keys,
    )
    (found,) = rehearsal.engine.run(
        work, scope=rehearsal.scope, sink=rehearsal.events.append
    )
    return found.status, found.message


def test_keys_are_written_once_and_noted(given: Rehearsal) -> None:
    first, again = set_up(given, (KEY,)), set_up(given, (KEY,))

    assert first == (Status.DONE, "its users' SSH keys were renewed")
    assert again[0] is Status.UNCHANGED
    assert given.state.guest("a").markers.user_keys == keys_digest((KEY,))


def test_removed_keys_are_taken_out(given: Rehearsal) -> None:
    set_up(given, (KEY,))

    assert set_up(given, ())[0] is Status.DONE
    assert given.state.guest("a").markers.user_keys == ""


def test_client_without_users_leaves_the_keys(given: Rehearsal) -> None:
    set_up(given, (KEY,))

    assert set_up(given, None)[0] is Status.UNCHANGED
    assert given.state.guest("a").markers.user_keys == keys_digest((KEY,))


def test_new_disk_has_no_keys(given: Rehearsal) -> None:
    set_up(given, (KEY,))

    given.up(provision=True)

    assert given.state.guest("a").markers.user_keys == ""
