"""An edited context reaches guests that are there already."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.events import Status
from orchestration.plan.model import Kind
from orchestration.project.digests import digest_of_context
from orchestration.state.model import Markers
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests

PUT = "put /etc/nocloud/context.tar"
READ = "cat /etc/nocloud/context.sha256"


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Rehearsal]:
    """Two guests with a setup script and a context."""
    rehearsal = Rehearsal(tmp_path, scripts={"setup.sh": "#!/bin/sh\n"})
    (rehearsal.project.files / "data").mkdir()
    (rehearsal.project.files / "data/list").write_text("one\n")
    rehearsal.build(two_guests(setup_script="setup.sh", context="data"))
    yield rehearsal
    rehearsal.hosts.close()


def set_up(rehearsal: Rehearsal) -> tuple[Status, str]:
    found = rehearsal.up().of(Kind.SET_UP_GUESTS)["a"]
    return found.status, found.message


def copies(rehearsal: Rehearsal) -> int:
    asked = rehearsal.asked(rehearsal.state.guest("a").domain)
    return sum(line.startswith(PUT) for line in asked)


def seeded(rehearsal: Rehearsal) -> None:
    """Let the guest say that its seed brought the context as it is now."""
    guest = rehearsal.state.guest("a")
    transport = rehearsal.hosts.guest(rehearsal.state, guest, host_key="ssh-ed25519 A")
    digest = digest_of_context(rehearsal.project.files, "data")
    path = READ.removeprefix("cat ")
    transport.put(f"{digest}\n".encode(), path, scope=rehearsal.scope)


def test_context_of_the_seed_is_not_copied_again(given: Rehearsal) -> None:
    seeded(given)

    assert set_up(given) == (Status.DONE, "setup.sh finished (exit 0)")
    assert copies(given) == 0
    digest = digest_of_context(given.project.files, "data")
    assert given.state.guest("a").markers.context == digest


def test_edited_context_is_copied_once_and_no_script_runs(given: Rehearsal) -> None:
    seeded(given)
    set_up(given)
    (given.project.files / "data/list").write_text("two\n")

    first, again = set_up(given), set_up(given)

    assert first == (Status.DONE, "copied context data")
    assert again == (Status.UNCHANGED, "its setup script ran before")
    assert copies(given) == 1
    assert "copied context data" in given.lines("a")


def test_edited_context_is_there_before_an_edited_script_runs(given: Rehearsal) -> None:
    seeded(given)
    set_up(given)
    (given.project.files / "data/list").write_text("two\n")
    (given.project.files / "setup.sh").write_text("#!/bin/sh\necho two\n")

    set_up(given)

    asked = given.asked(given.state.guest("a").domain)
    put = next(n for n, line in enumerate(asked) if line.startswith(PUT))
    ran = max(n for n, line in enumerate(asked) if line.startswith("sh -s"))
    assert put < ran


def test_guest_of_an_older_version_gets_its_context_once(given: Rehearsal) -> None:
    set_up(given)

    assert copies(given) == 1
    assert set_up(given)[0] is Status.UNCHANGED


def test_guest_that_is_lost_meanwhile_is_named(given: Rehearsal) -> None:
    given.break_(given.state.guest("a").domain, {READ: {"unreachable": True}})

    found = given.up().of(Kind.SET_UP_GUESTS)

    assert found["a"].status is Status.FAILED
    assert "was lost while its context was copied" in found["a"].message
    assert found["b"].status is Status.DONE


def test_new_disk_forgets_which_context_it_had() -> None:
    assert Markers(disk="image").model_dump()["context"] == ""
