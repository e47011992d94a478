"""Follows a run to its end on a terminal, and what Ctrl+C does meanwhile.

Once, the server cancels the run and the client waits for its word. Twice within a
moment, or again while it waits, the client leaves: the run goes on as it is, and the
last line says how to attach to it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection

from testbed.client.board.model import Board
from testbed.client.board.shown import Shown, shown
from testbed.client.rest.problems import ServerUnreachable
from testbed.client.rest.server import Server, StartedRun, refused_socket
from testbed.client.rest.trust import reason_of
from testbed.client.terminal.exits import CANCELLED, code_of_run
from testbed.client.terminal.tables import say
from testbed.client.watching import Frame, watch

LEAVE_WITHIN_S = 2.0


class Follower:
    """One run, followed; `seen` is its last event."""

    def __init__(
        self,
        server: Server,
        run: StartedRun,
        screen: Shown,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._run = run
        self._screen = screen
        self._sleep = sleep
        self._seen = 0
        self.end: Frame = {}

    def drive(self) -> int:
        """Send the instructions, show all that happens; return the exit code.

        Raises: ServerProblem, ServerUnreachable.
        """
        with self._screen.live():
            code = self._driven()
        self._say_end()
        return code

    def follow(self, *, after: int = 0) -> int:
        """Show all that happens after an event; return the exit code."""
        self._seen = after
        self._run = StartedRun(self._run.number, ())
        return self.drive()

    def _driven(self) -> int:
        try:
            return self._watched(self._run.to_send)
        except KeyboardInterrupt:
            return self._interrupted()

    def _interrupted(self) -> int:
        """Cancel the run and wait for its end, or leave it; return the exit code."""
        number = self._run.number
        try:
            self._screen.note(
                f"Run {number} is cancelled in {LEAVE_WITHIN_S:.0f} s. Ctrl+C once more "
                "leaves it running."
            )
            self._sleep(LEAVE_WITHIN_S)
            self._server.send("POST", f"/runs/{number}/cancel")
            return self._watched([])
        except KeyboardInterrupt:
            self._screen.note(
                f"Run {number} goes on without you. Follow it with "
                f"`testbed attach {number}`."
            )
            return CANCELLED

    def _watched(self, waiting: list[Frame]) -> int:
        number = self._run.number

        def opened() -> AbstractContextManager[ClientConnection]:
            return self._server.events(number)

        def lost() -> None:
            self._screen.note("The connection broke: it is made again.")

        try:
            status = watch(
                opened, number, self._take, waiting, after=self._seen, on_lost=lost
            )
        except InvalidStatus as exc:
            raise refused_socket(self._server.url, exc) from exc
        except (OSError, WebSocketException) as exc:
            raise ServerUnreachable(
                f"The connection to {self._server.url} broke: {reason_of(exc)}.",
                hint=f"The run goes on. Follow it with `testbed attach {number}`.",
            ) from exc
        return code_of_run(status)

    def _take(self, frame: Frame) -> None:
        self._seen = frame.get("seq", self._seen)
        if frame["type"] == "run":
            self.end = frame
        self._screen.show(frame)

    def _say_end(self) -> None:
        if not self.end:
            return
        words = (f"Run {self._run.number} {self.end['status']}.", self.end["message"])
        for text in (*words, self.end["hint"]):
            if text:
                say(text)


def drive(server: Server, run: StartedRun, *, is_json: bool) -> int:
    """Drive a new run to its end; return the exit code. Raises: as `Follower.drive`."""
    screen = shown(Board.of(run.instructions), is_json=is_json)
    return Follower(server, run, screen).drive()


def attach(server: Server, number: int, *, is_json: bool, after: int = 0) -> int:
    """Follow a run from its start or after an event. Raises: as `Follower.drive`."""
    found = server.get(f"/runs/{number}")
    run = StartedRun(number, tuple(found["instructions"]))
    screen = shown(Board.of(run.instructions), is_json=is_json)
    return Follower(server, run, screen).follow(after=after)
