"""The server, asked in threads of their own, so that no request stops the screen.

A `Poll` asks for the same again and again, with growing pauses while the server is
away. An `act` is done once. Both tell the screen by messages. The threads are daemons:
a request that hangs keeps no program from its end.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.message import Message

from orchestration.errors import TestbedError
from testbed.client.rest.problems import OTHER_SHAPE, not_understood
from testbed.client.rest.server import Agrees, Server, declines
from testbed.client.terminal.agreement import lines_of
from testbed.client.watching import Frame

EVERY_S = 3.0
PAUSES_S = (2.0, 4.0, 8.0, 15.0, 30.0)

Fetch = Callable[[Server], Any]
Tell = Callable[[Message], object]
Sleep = Callable[[float], object]


@dataclass(frozen=True, slots=True)
class Place:
    """The folder in which the interface was started, with a YAML, and whose it is."""

    path: Path
    testbed: str
    account: str


@dataclass(frozen=True, slots=True)
class Lab:
    """A server and its token; each thread opens connections of its own.

    `place` is the present folder, where it has a YAML.
    """

    url: str
    token: str = ""
    place: Place | None = None
    every_s: float = EVERY_S
    pauses_s: tuple[float, ...] = PAUSES_S

    def server(self, *, agrees: Agrees = declines, sleep: Sleep = time.sleep) -> Server:
        """Return the server, for one thread."""

        def wait(seconds: float) -> None:
            sleep(seconds)

        return Server(self.url, self.token, agrees=agrees, sleep=wait)

    def folder_of(self, testbed: str) -> Place | None:
        """Return the present folder where it is that of a testbed."""
        is_it = self.place is not None and self.place.testbed == testbed
        return self.place if is_it else None

    def pause_s(self, failures: int) -> float:
        """Return for how long to wait after so many failures in a row, at least one."""
        return self.pauses_s[min(failures, len(self.pauses_s)) - 1]


class Seen(Message):
    """The server answered; `at` is the time of day then, in seconds."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value
        self.at = time.time()


class Lost(Message):
    """The server did not answer, or refused; it is asked again in `pause_s`."""

    def __init__(self, problem: TestbedError, pause_s: float) -> None:
        super().__init__()
        self.problem = problem
        self.pause_s = pause_s


class Done(Message):
    """An act was done; `then` takes its result."""

    def __init__(self, then: Callable[[Any], None], value: Any) -> None:
        super().__init__()
        self._then = then
        self._value = value

    def go_on(self, tell: Tell) -> None:
        """Hand the result on; `tell` that it has another shape than is understood."""
        try:
            self._then(self._value)
        except OTHER_SHAPE as exc:
            tell(Refused(problem_in(exc), lambda: None))


class Refused(Message):
    """An act was not done; `otherwise` is told, too."""

    def __init__(self, problem: TestbedError, otherwise: Callable[[], None]) -> None:
        super().__init__()
        self.problem = problem
        self.otherwise = otherwise


class Told(Message):
    """A word about an act that goes on; a passing one is replaced by the next."""

    def __init__(self, words: str, *, is_passing: bool = False) -> None:
        super().__init__()
        self.words = words
        self.is_passing = is_passing


class Asks(Message):
    """An act erases `lines`, and waits for the user's answer, perhaps a typed name."""

    def __init__(self, lines: list[str], name: str) -> None:
        super().__init__()
        self.lines = lines
        self.name = name
        self._answered = threading.Event()
        self._agrees = False

    def answer(self, agrees: bool | None) -> None:
        """Let the act go on, or not."""
        self._agrees = bool(agrees)
        self._answered.set()

    def wait(self) -> bool:
        """Return the answer, once it is given."""
        self._answered.wait()
        return self._agrees


class Poll:
    """Asks for the same every few seconds until it is stopped."""

    def __init__(self, lab: Lab, fetch: Fetch, tell: Tell) -> None:
        self._lab = lab
        self._fetch = fetch
        self._tell = tell
        self._soon = threading.Event()
        self._stopped = threading.Event()
        self._shown = threading.Event()

    def start(self) -> None:
        """Begin to ask."""
        self._shown.set()
        threading.Thread(target=self._run, name="poll", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()
        self._shown.set()
        self._soon.set()

    def ask_now(self) -> None:
        """Ask at once."""
        self._soon.set()

    def show(self, is_shown: bool) -> None:
        """Ask only while somebody looks."""
        if is_shown:
            self._shown.set()
            self._soon.set()
        elif not self._stopped.is_set():
            self._shown.clear()

    def _run(self) -> None:
        failures = 0
        with self._lab.server(sleep=self._stopped.wait) as server:
            while not self._stopped.is_set():
                self._soon.clear()
                try:
                    message: Message = Seen(self._fetch(server))
                    failures, pause_s = 0, self._lab.every_s
                except Exception as exc:  # noqa: BLE001  # the thread has to go on
                    failures += 1
                    pause_s = self._lab.pause_s(failures)
                    message = Lost(problem_in(exc), pause_s)
                if not self._stopped.is_set():
                    told(self._tell, message)
                self._soon.wait(pause_s)
                self._shown.wait()


def act(
    lab: Lab,
    work: Fetch,
    tell: Tell,
    then: Callable[[Any], None],
    otherwise: Callable[[], None] = lambda: None,
) -> None:
    """Do something once in a thread: `then` gets its result, in the screen's thread."""

    def agrees(erases: Frame) -> bool:
        asks = Asks(lines_of(erases), str(erases["must_type"] or ""))
        told(tell, asks)
        return asks.wait()

    def run() -> None:
        try:
            with lab.server(agrees=agrees) as server:
                message: Message = Done(then, work(server))
        except Exception as exc:  # noqa: BLE001  # the screen waits for a word
            message = Refused(problem_in(exc), otherwise)
        told(tell, message)

    threading.Thread(target=run, name="act", daemon=True).start()


def problem_in(exc: Exception) -> TestbedError:
    """Return a failure as the screen tells it, also one that nothing foresaw."""
    if isinstance(exc, TestbedError):
        return exc
    return not_understood(exc)


def told(tell: Tell, message: Message) -> None:
    """Send a message to a screen, unless the program ended meanwhile."""
    with suppress(RuntimeError):
        tell(message)
