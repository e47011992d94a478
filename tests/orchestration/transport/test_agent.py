"""A guest behind its agent, which here is this machine."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from orchestration.errors import (
    Cancelled,
    CommandFailed,
    CommandTimedOut,
    HostUnreachable,
)
from orchestration.events import Stream
from orchestration.transport import agent as transport_of_agent
from orchestration.transport.agent import PIECE_BYTES, AgentTransport
from orchestration.transport.base import Command, Scope, command
from tests.orchestration.transport.conftest import carriers
from tests.orchestration.transport.guest_agent import Agent
from tests.tags import OWN_TAG


@pytest.fixture
def agent():
    agent = Agent()
    yield agent
    agent.end()


@pytest.fixture
def guest(agent: Agent) -> AgentTransport:
    return AgentTransport(agent.ask, "a")


@pytest.fixture
def scope():
    scope = Scope(OWN_TAG)
    yield scope
    assert carriers(scope.tag) == []


@pytest.fixture
def folders(agent: Agent) -> Callable[[], set[str]]:
    """The folders of this agent's commands that are left."""
    return lambda: {folder for folder in agent.folders() if Path(folder).exists()}


def test_program_has_its_streams_and_its_exit_code(
    guest: AgentTransport, agent: Agent, scope: Scope, folders: Callable[[], set[str]]
) -> None:
    lines: list[tuple[Stream, str]] = []

    found = guest.run(
        command("sh", "-c", "cat; echo odd >&2; exit 3", stdin=b"in 'quotes'\n"),
        scope=scope,
        check=False,
        on_line=lambda stream, text: lines.append((stream, text)),
    )

    agent.end()
    assert (found.exit_code, found.stdout) == (3, "in 'quotes'\n")
    assert sorted(lines) == [(Stream.STDERR, "odd"), (Stream.STDOUT, "in 'quotes'")]
    assert agent.folders()
    assert folders() == set()


def test_missing_program_and_signal_count_as_in_shells(
    guest: AgentTransport, scope: Scope
) -> None:
    missing = guest.run(command("no-such-program"), scope=scope, check=False)
    killed = guest.run(command("sh", "-c", "kill -9 $$"), scope=scope, check=False)

    assert (missing.exit_code, killed.exit_code) == (127, 137)


@pytest.mark.parametrize("words", [1, 2, 8])
def test_long_arguments_arrive_as_they_are(
    guest: AgentTransport, agent: Agent, scope: Scope, words: int
) -> None:
    arguments = ["'$x\n\"ü " * 10_000] * words
    digest = sha256("".join(f"{word}\0" for word in arguments).encode()).hexdigest()
    sums = 'printf "%s\\0" "$@" | sha256sum; cat'

    found = guest.run(
        command("sh", "-c", sums, "sh", *arguments, stdin=b"in"), scope=scope
    )

    assert found.stdout == f"{digest}  -\nin"
    assert max(map(len, agent.arguments)) <= 2 * PIECE_BYTES


def test_large_streams_travel_in_pieces(guest: AgentTransport, scope: Scope) -> None:
    data = bytes(range(256)) * 2000
    taken = bytearray()

    guest.run(
        Command(("cat",)), scope=scope, feed=iter((data, data)), on_bytes=taken.extend
    )

    assert bytes(taken) == data + data
    assert len(data) > 10 * PIECE_BYTES


def test_cancelled_program_is_ended_with_a_proof(
    guest: AgentTransport, agent: Agent, scope: Scope, folders: Callable[[], set[str]]
) -> None:
    def cancel(stream: Stream, text: str) -> None:
        scope.cancel()

    with pytest.raises(Cancelled):
        guest.run(
            command("sh", "-c", "echo begun; sleep 60"), scope=scope, on_line=cancel
        )

    [proof] = scope.ended
    agent.end()
    assert proof.found
    assert proof.survivors == ()
    assert agent.folders()
    assert folders() == set()


def test_program_that_takes_too_long_is_ended(
    guest: AgentTransport, scope: Scope
) -> None:
    with pytest.raises(CommandTimedOut):
        guest.run(command("sleep", "60"), scope=scope, timeout_s=0.3)

    assert not any(proof.survivors for proof in scope.ended)


def test_command_without_root_runs_as_the_account(agent: Agent, scope: Scope) -> None:
    guest = AgentTransport(agent.ask, "a", account="nobody")

    plain = guest.run(command("id", "-un"), scope=scope)
    root = guest.run(command("id", "-un").with_root(), scope=scope)

    assert (plain.stdout, root.stdout) == ("nobody\n", "root\n")


def test_files_are_put_and_got(
    guest: AgentTransport, scope: Scope, tmp_path: Path
) -> None:
    data = b"x" * (2 * PIECE_BYTES + 1)

    guest.put(data, str(tmp_path / "there"), scope=scope, mode=0o640)
    guest.get(str(tmp_path / "there"), tmp_path / "back", scope=scope)

    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "back").read_bytes() == data
    with pytest.raises(CommandFailed):
        guest.put(data, str(tmp_path), scope=scope)


def test_holes_of_a_file_are_not_sent(
    guest: AgentTransport, agent: Agent, scope: Scope, tmp_path: Path
) -> None:
    source, target = tmp_path / "holes", tmp_path / "there"
    with source.open("wb") as file:
        file.truncate(64 * 2**20)
        file.write(b"begin")

    guest.put(source, str(target), scope=scope)

    assert target.stat().st_size == 64 * 2**20
    assert target.read_bytes()[:6] == b"begin\0"
    assert agent.commands.count("guest-file-write") < 10


def test_file_that_cannot_be_fetched_is_named_and_leaves_none(
    guest: AgentTransport, scope: Scope, tmp_path: Path
) -> None:
    with pytest.raises(CommandFailed, match=r"^Could not read /no/such on a\.$"):
        guest.get("/no/such", tmp_path / "back" / "file", scope=scope)

    assert list((tmp_path / "back").iterdir()) == []


def test_cancelled_copy_leaves_no_half_file(
    guest: AgentTransport, scope: Scope, tmp_path: Path
) -> None:
    def cancel(done: int, total: int) -> None:
        if done:
            scope.cancel()

    with pytest.raises(Cancelled):
        guest.put(b"x" * 2**22, str(tmp_path / "x"), scope=scope, on_progress=cancel)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("guest-exec", None),
        ("guest-exec", {"pid": "many"}),
        ("guest-exec-status", {"exited": "perhaps"}),
        ("guest-file-open", {"handle": 1}),
        ("guest-file-read", {"count": 10**9, "buf-b64": ""}),
        ("guest-file-read", {"count": 3, "buf-b64": "no base64!"}),
        ("guest-file-read", {"count": 3, "buf-b64": "\u00e9\u00e9\u00e9\u00e9"}),
        ("guest-file-read", {"count": 3, "buf-b64": "A" * 10**6}),
    ],
)
def test_nonsense_of_an_agent_is_no_answer(
    guest: AgentTransport, agent: Agent, scope: Scope, name: str, lie: object
) -> None:
    agent.lies[name] = lie

    with pytest.raises(HostUnreachable, match="The agent of a answers nonsense"):
        guest.run(command("true"), scope=scope)


def test_endless_output_of_an_agent_ends_in_time_and_is_not_called_ended(
    guest: AgentTransport,
    agent: Agent,
    scope: Scope,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport_of_agent, "END_TIMEOUT_S", 0.5)
    agent.lies["guest-file-read"] = {"count": 4, "buf-b64": "AAAAAA=="}

    with pytest.raises(CommandTimedOut):
        guest.run(command("true"), scope=scope, timeout_s=0.5)

    [proof] = scope.ended
    assert "not confirmed" in proof.survivors[0].name


def test_program_has_a_session_of_its_own(
    guest: AgentTransport, agent: Agent, scope: Scope
) -> None:
    session = command("cut", "-d", " ", "-f", "6", "/proc/self/stat")

    found = guest.run(session, scope=scope)

    # The agent's programs share one, and the end of one must not be that of others.
    assert int(found.stdout) not in agent.programs


def test_agent_that_does_not_answer_is_told(scope: Scope) -> None:
    def silent(name: str, arguments: Mapping[str, object]) -> object:
        raise HostUnreachable("No QEMU guest agent answers in guest a.")

    guest = AgentTransport(silent, "a")

    assert not guest.answers()
    with pytest.raises(HostUnreachable, match="No QEMU guest agent answers"):
        guest.run(command("true"), scope=scope)
