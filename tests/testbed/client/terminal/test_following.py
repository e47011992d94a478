"""Ctrl+C: once the server cancels, twice the run goes on and the words say how."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from testbed.client.board.shown import JsonLines
from testbed.client.rest.server import Server, StartedRun
from testbed.client.terminal.following import Follower
from testbed.client.watching import Frame

RUN = StartedRun(7, ({"index": 0, "kind": "init"}, {"index": 1, "kind": "end"}))
END = {"type": "run", "seq": 9, "message": "Over.", "hint": ""}


class Screen(JsonLines):
    """Keeps what a person would see."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.notes: list[str] = []

    def show(self, frame: Frame) -> None:
        self.frames.append(frame)

    def note(self, text: str) -> None:
        self.notes.append(text)


class Interrupted(Server):
    """A server whose websockets play scenes; a scene may be a Ctrl+C."""

    def __init__(self, *scenes: list[Frame | type[BaseException]]) -> None:
        super().__init__("http://lab.example", "tb_x")
        self.scenes = list(scenes)
        self.asked: list[str] = []
        self.sent: list[str] = []

    def send(self, method: str, path: str, *more: object, **options: object) -> Frame:
        self.asked.append(f"{method} {path}")
        return {}

    @contextmanager
    def events(self, number: int) -> Iterator[object]:
        yield Socket(self.scenes.pop(0), self.sent)


class Socket:
    def __init__(self, scene: list[Frame | type[BaseException]], sent: list[str]):
        self._scene = scene
        self._sent = sent

    def send(self, text: str) -> None:
        self._sent.append(text)

    def __iter__(self) -> Iterator[str]:
        for one in self._scene:
            if isinstance(one, type):
                raise one
            yield json.dumps(one)


def no_sleep(seconds: float) -> None:
    """Pass the moment in which a second Ctrl+C may come."""


def interrupted_sleep(seconds: float) -> None:
    raise KeyboardInterrupt


def followed(
    server: Interrupted, sleep: Callable[[float], None] = no_sleep
) -> tuple[int, Screen]:
    screen = Screen()
    return Follower(server, RUN, screen, sleep=sleep).drive(), screen


@pytest.mark.parametrize(
    ("status", "code"),
    [("succeeded", 0), ("failed", 1), ("interrupted", 1), ("cancelled", 130)],
)
def test_exit_code_is_that_of_the_run(status: str, code: int) -> None:
    server = Interrupted([{**END, "status": status}])

    assert followed(server)[0] == code
    assert server.asked == []


def test_one_interrupt_cancels_and_waits_for_the_servers_word() -> None:
    server = Interrupted(
        [{"type": "event", "seq": 4}, KeyboardInterrupt],
        [{**END, "status": "cancelled"}],
    )

    code, screen = followed(server)

    assert code == 130
    assert server.asked == ["POST /runs/7/cancel"]
    assert '"after": 4' in server.sent[-1]
    assert screen.frames[-1]["status"] == "cancelled"


def test_two_interrupts_at_once_leave_the_run_as_it_is() -> None:
    server = Interrupted([KeyboardInterrupt])

    code, screen = followed(server, interrupted_sleep)

    assert code == 130
    assert server.asked == []
    assert "testbed attach 7" in screen.notes[-1]


def test_second_interrupt_counts_from_the_first_word_on() -> None:
    class Hasty(Screen):
        def note(self, text: str) -> None:
            super().note(text)
            if len(self.notes) == 1:
                raise KeyboardInterrupt

    server, screen = Interrupted([KeyboardInterrupt]), Hasty()

    assert Follower(server, RUN, screen, sleep=no_sleep).drive() == 130
    assert server.asked == []
    assert "testbed attach 7" in screen.notes[-1]


def test_interrupt_while_it_is_cancelled_leaves_too() -> None:
    server = Interrupted([KeyboardInterrupt], [KeyboardInterrupt])

    code, screen = followed(server)

    assert code == 130
    assert server.asked == ["POST /runs/7/cancel"]
    assert "testbed attach 7" in screen.notes[-1]


def test_run_that_succeeded_meanwhile_is_no_cancelled_one() -> None:
    server = Interrupted([KeyboardInterrupt], [{**END, "status": "succeeded"}])

    assert followed(server)[0] == 0
