"""The ledger of connections that ended before a login, and who is told of it."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
)
from orchestration.transport.base import Scope
from orchestration.transport.ssh import Failures, Limits, SSHTransport, failures
from tests.orchestration.transport.conftest import Server, free_port, keygen

PLACE = "192.0.2.7:22"
PATIENT = Limits(60.0, 60.0, 60.0)


class Clock:
    """A time of day that the test sets."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(failures, "time", clock)
    return clock


@pytest.fixture
def ledger(tmp_path: Path) -> Failures:
    return Failures(tmp_path / "runtime" / "failures.json")


def _note(ledger: Failures, error: HostUnreachable, pause_s: float = 1.0) -> int:
    return ledger.note(PLACE, error, tried_at=failures.time.time(), pause_s=pause_s)


@pytest.mark.usefixtures("clock")
def test_failure_is_told_again_to_every_process(
    ledger: Failures, tmp_path: Path
) -> None:
    _note(ledger, HostKeyMismatch("other key", hint="Pin it.", detail="seen"))
    another = Failures(tmp_path / "runtime" / "failures.json")

    with pytest.raises(HostKeyMismatch, match="other key") as told:
        another.claim(PLACE)

    assert (told.value.hint, told.value.detail) == ("Pin it.", "seen")


def test_after_its_pause_one_may_try_again(ledger: Failures, clock: Clock) -> None:
    _note(ledger, HostUnreachable("closed"))
    clock.now_s += 1.0

    ledger.claim(PLACE)

    with pytest.raises(HostUnreachable, match="closed"):
        ledger.claim(PLACE)


def test_attempt_that_nobody_accepted_counts_not(
    ledger: Failures, clock: Clock
) -> None:
    _note(ledger, HostUnreachable("closed"))
    clock.now_s += 1.0
    ledger.claim(PLACE)

    ledger.release(PLACE)

    ledger.claim(PLACE)


@pytest.mark.usefixtures("clock")
def test_login_ends_the_pause_and_the_count(ledger: Failures) -> None:
    assert [_note(ledger, HostUnreachable("closed")) for _ in range(3)] == [1, 2, 3]

    ledger.forget(PLACE)

    ledger.claim(PLACE)
    assert _note(ledger, HostUnreachable("closed")) == 1


@pytest.mark.usefixtures("clock")
def test_other_places_are_not_held_up(ledger: Failures) -> None:
    _note(ledger, HostUnreachable("closed"))

    ledger.claim("192.0.2.8:22")


def test_clock_that_was_set_back_holds_nobody_up(
    ledger: Failures, clock: Clock
) -> None:
    _note(ledger, HostUnreachable("closed"))
    clock.now_s -= 3600.0

    ledger.claim(PLACE)


def test_places_of_long_ago_are_dropped(
    ledger: Failures, clock: Clock, tmp_path: Path
) -> None:
    _note(ledger, HostUnreachable("closed"))
    clock.now_s += failures.FORGOTTEN_S
    ledger.note("192.0.2.8:22", HostUnreachable("x"), tried_at=clock.now_s, pause_s=1.0)

    text = (tmp_path / "runtime" / "failures.json").read_text()

    assert PLACE not in text


def test_broken_ledger_is_begun_anew(ledger: Failures, tmp_path: Path) -> None:
    path = tmp_path / "runtime" / "failures.json"
    path.parent.mkdir()
    path.write_text("{")

    ledger.claim(PLACE)

    assert _note(ledger, HostUnreachable("closed")) == 1


def test_refused_key_is_offered_once_in_five_seconds_by_all_together(
    server: Server, tmp_path: Path, scope: Scope
) -> None:
    keygen(tmp_path / "stranger")
    transports = [
        server.transport(
            identity_file=tmp_path / "stranger",
            failures=Failures(tmp_path / "failures.json"),
        )
        for _ in range(5)
    ]

    for machine in transports:
        with pytest.raises(AuthenticationRefused):
            machine.require_answer(PATIENT, scope=scope)

    assert '"count":1' in (tmp_path / "failures.json").read_text()


def test_mute_server_is_connected_to_once_a_second(
    server: Server, mute: "Mute", tmp_path: Path, scope: Scope
) -> None:
    machine = _counted(server, mute.port, tmp_path)

    for _ in range(10):
        with pytest.raises(HostUnreachable, match="no SSH server answers"):
            machine.require_answer(Limits(1.0, 60.0, 0.01), scope=scope)

    assert mute.accepted <= 1 + int(mute.seconds())


def test_port_on_which_nobody_listens_is_tried_each_time(
    server: Server, tmp_path: Path, scope: Scope
) -> None:
    machine = _counted(server, free_port(), tmp_path)

    for _ in range(5):
        with pytest.raises(HostUnreachable, match="no server listens"):
            machine.require_answer(PATIENT, scope=scope)

    assert not (tmp_path / "failures.json").exists()


class Mute:
    """A port that accepts and says nothing; it counts."""

    def __init__(self, listening: socket.socket) -> None:
        self.port = int(listening.getsockname()[1])
        self.accepted = 0
        self._began_s = failures.time.monotonic()
        self._listening = listening
        self._kept: list[socket.socket] = []
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def close(self) -> None:
        self._serving.join(60)
        for connection in self._kept:
            connection.close()

    def seconds(self) -> float:
        return failures.time.monotonic() - self._began_s

    def _serve(self) -> None:
        while True:
            try:
                self._kept.append(self._listening.accept()[0])
            except OSError:
                return
            self.accepted += 1


@pytest.fixture
def mute() -> Iterator[Mute]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        mute = Mute(listening)
        yield mute
        listening.shutdown(socket.SHUT_RDWR)
        mute.close()


def _counted(server: Server, port: int, tmp_path: Path) -> SSHTransport:
    ledger = Failures(tmp_path / "failures.json")
    return server.transport(port=port, failures=ledger)
