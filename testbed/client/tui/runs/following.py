"""A run, followed in a thread: its board, its last lines, and what became of it.

The thread reads frames as fast as they come; the screen looks at the result a few times
in a second. A broken connection is made again, after growing pauses, and the server
sends what came meanwhile.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection

from orchestration.errors import TestbedError
from testbed.client.board.model import Board, Line
from testbed.client.rest.problems import ServerProblem, problem_of
from testbed.client.rest.server import Server, StartedRun, refused_socket
from testbed.client.rest.trust import reason_of
from testbed.client.tui.asking import Lab, problem_in
from testbed.client.tui.runs.ring import Ring
from testbed.client.tui.words import safe
from testbed.client.watching import OVER, Frame, is_lasting, watch


class _Left(Exception):
    """The user left the run."""


class Following:
    """One run; `lock` guards the board while it is drawn."""

    def __init__(
        self, lab: Lab, number: int, started: StartedRun | None = None
    ) -> None:
        self.number = number
        self.lock = threading.Lock()
        self.board = Board.of(started.instructions if started else ())
        self.ring = Ring()
        self.run: Frame = {}
        self.title = ""
        self.is_cancelling = False
        self.is_connected = False
        self.problem: TestbedError | None = None
        self.pause_s = 0.0
        self._lab = lab
        self._started = started
        self._seen = 0
        self._stopped = threading.Event()
        self._socket: ClientConnection | None = None

    @property
    def is_over(self) -> bool:
        """Whether the server said that the run ended."""
        return self.state in OVER

    @property
    def state(self) -> str:
        """The state as the server tells it; cancelling until it says cancelled."""
        if self.board.status:
            return self.board.status
        known = str(self.run.get("status", ""))
        if known in OVER:
            return known
        if self.is_cancelling:
            return "cancelling"
        return "running" if self.board.current else known or "starting"

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._run, name="follow", daemon=True).start()

    def stop(self) -> None:
        """Leave the run; the server drives it on."""
        self._stopped.set()
        if socket := self._socket:
            threading.Thread(target=socket.close, name="leave", daemon=True).start()

    def _run(self) -> None:
        failures = 0
        with self._lab.server(sleep=self._stopped.wait) as server:
            while not self._stopped.is_set():
                seen = self._seen
                try:
                    self._watch(server)
                    return
                except _Left:
                    return
                except Exception as exc:  # noqa: BLE001  # the thread has to go on
                    failures = 1 if self._seen > seen else failures + 1
                    self.problem = problem_in(exc)
                    self.pause_s = self._lab.pause_s(failures)
                    self.is_connected = False
                    if isinstance(exc, ServerProblem) and exc.is_refusal:
                        self.pause_s = 0.0
                        return
                self._stopped.wait(self.pause_s)

    def _watch(self, server: Server) -> None:
        """Read to the run's end or the connection's. Raises: TestbedError, _Left."""
        number = self.number
        if not self.run:
            self._read_plan(server)
        waiting = self._started.to_send if self._started else []
        self._started = None

        @contextmanager
        def opened() -> Iterator[ClientConnection]:
            with server.events(number) as socket:
                self._socket = socket
                self.is_connected, self.problem = True, None
                yield socket

        try:
            watch(opened, number, self._take, waiting, after=self._seen, patience_s=-1)
        except InvalidStatus as exc:
            raise refused_socket(server.url, exc) from exc
        except (OSError, WebSocketException) as exc:
            words = f"The connection to {server.url} broke: {safe(reason_of(exc), 200)}"
            if is_lasting(exc):
                raise problem_of(403, {"detail": words}, server=server.url) from exc
            raise TestbedError(words, hint="The run goes on at the server.") from exc

    def _read_plan(self, server: Server) -> None:
        found = server.get(f"/runs/{self.number}")
        with self.lock:
            if not self.board.rows:
                self.board.rows = Board.of(found["instructions"]).rows
            self.title = f" {found['name']} of {found['testbed']}"
            self.run = found
            self.is_cancelling = found["status"] == "cancelling"

    def _take(self, frame: Frame) -> None:
        if self._stopped.is_set():
            raise _Left
        with self.lock:
            lines = self.board.take(frame)
            self._seen = frame.get("seq", self._seen)
            if frame.get("kind") == "cancel-requested":
                self.is_cancelling = True
        if lines:
            self.ring.add([_shown(line) for line in lines])


def _shown(line: Line) -> Line:
    return Line(safe(line.resource, 60), line.stream, safe(line.text))
