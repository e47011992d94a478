"""A server of a testbed without a network: the real client over answers from here."""

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from testbed.client.rest.server import Agrees, Server, declines
from testbed.client.tui.asking import Lab
from testbed.client.watching import Frame

URL = "http://lab.example"
AT = "2026-03-01T10:00:00Z"


def run_of(number: int, status: str = "running", **more: object) -> Frame:
    found: Frame = {"run": number, "testbed": "olive/lab", "name": "up", "title": ""}
    found |= {"status": status, "asked_by": "olive", "created_at": AT, "percent": 42}
    return {**found, "message": "", "hint": "", "instructions": PLAN} | more


def lab_of(name: str, condition: str = "up", **more: object) -> Frame:
    account, _, short = name.partition("/")
    found: Frame = {"testbed": name, "account": account, "name": short}
    found |= {"condition": condition, "guests": 2, "guests_up": 1, "role": "owner"}
    return {**found, "ends_at": None, "last_run": None} | more


def guest_of(name: str, status: str = "running") -> Frame:
    found: Frame = {"guest": name, "host": "host-01", "status": status}
    found |= {"by_request": False, "observed_at": AT}
    return {**found, "addresses": [{"address": "10.0.0.2"}]}


def event(kind: str, seq: int, index: int = 0, **more: object) -> Frame:
    found = {"type": "event", "kind": kind, "seq": seq, "index": index}
    found |= {"resource": "", "host": "", "stream": "", "text": "", "data": {}}
    return found | more


def log(seq: int, resource: str, text: str) -> Frame:
    return event("log", seq, resource=resource, text=text, stream="stdout")


PLAN: list[Frame] = [
    {"index": 0, "kind": "boot", "title": "Start 2 guests", "resources": ["web", "db"]},
    {"index": 1, "kind": "end", "title": "End", "resources": []},
]
BEGUN = event(
    "instruction-started", 1, data={"stage": "Guests", "title": "Start 2 guests"}
)
ERASES = {
    "confirm": "t1",
    "must_type": "lab",
    "kept": ["The files stay."],
    "losses": [
        {"sort": "disk", "name": "web", "host": "main", "bytes": 4096, "reason": ""}
    ],
}


class Socket:
    """A websocket that hands out frames as the test puts them in; None closes it."""

    def __init__(self) -> None:
        self.frames: queue.Queue[Frame | None] = queue.Queue()
        self.sent: list[Frame] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))

    def put(self, *frames: Frame | None) -> None:
        for frame in frames:
            self.frames.put(frame)

    def close(self) -> None:
        self.frames.put(None)

    def __iter__(self) -> Iterator[str]:
        while (frame := self.frames.get(timeout=30)) is not None:
            yield json.dumps(frame)


Answer = tuple[int, Any]


@dataclass
class Office:
    """The server's answers by method and path, and all that it was asked."""

    answers: dict[str, Answer | Callable[[httpx.Request], Answer]] = field(
        default_factory=dict
    )
    asked: list[tuple[str, Any]] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    opened: int = 0
    is_away: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.is_away:
            raise httpx.ConnectError("refused", request=request)
        key = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        body = json.loads(request.content) if request.content else None
        self.asked.append((key, body))
        found = self.answers.get(key, (404, {"detail": f"There is no {key}."}))
        status, value = found(request) if callable(found) else found
        return httpx.Response(status, json=value)

    def put_list(self, path: str, items: list[Frame]) -> None:
        self.answers[f"GET {path}"] = (200, {"items": items, "count": len(items)})

    def bodies(self, key: str) -> list[Any]:
        return [body for asked, body in self.asked if asked == key]


class FakeServer(Server):
    def __init__(self, office: Office, agrees: Agrees) -> None:
        transport = httpx.MockTransport(office.handle)
        super().__init__(URL, "tb_x", agrees=agrees, transport=transport)
        self._office = office

    @contextmanager
    def events(self, number: int) -> Iterator[Any]:
        with self._office.lock:
            at = self._office.opened
            if at >= len(self._office.sockets):
                raise ConnectionRefusedError("refused")
            self._office.opened += 1
        yield self._office.sockets[at]


class FakeLab(Lab):
    def __init__(self, office: Office) -> None:
        super().__init__(URL, every_s=0.02, pauses_s=(0.02, 0.05))
        object.__setattr__(self, "office", office)

    def server(self, *, agrees: Agrees = declines, sleep: object = None) -> Server:
        return FakeServer(self.office, agrees)  # type: ignore[attr-defined]


@pytest.fixture
def office() -> Office:
    """A server with the testbeds olive/lab and paul/ring; lab has two guests."""
    found = Office()
    lab = lab_of("olive/lab", last_run=run_of(7))
    found.put_list("/testbeds", [lab, lab_of("paul/ring", "draft")])
    found.answers["GET /testbeds/olive/lab"] = (200, lab)
    found.put_list(
        "/testbeds/olive/lab/guests", [guest_of("web"), guest_of("db", "shut off")]
    )
    found.put_list("/testbeds/olive/lab/runs", [run_of(7)])
    found.answers["GET /runs/7"] = (200, run_of(7))
    return found


@pytest.fixture
def lab(office: Office) -> Lab:
    """The same as what the interface opens."""
    return FakeLab(office)
