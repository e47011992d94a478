"""Guests whose consoles a test prints and reads, and a gateway that opens them.

`Guests` stands for `Machines`, the gateway's only way to a host; tickets, sockets and
threads are real.
"""

import asyncio
import json
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from orchestration.errors import ConsoleUnavailable, TestbedError
from orchestration.transport.streams import Stream
from testbed.consoles.gateway import Gateway
from testbed.consoles.link import Link, open_link
from testbed.consoles.machines import Place
from testbed.consoles.messages import Kind, Open
from testbed.consoles.rfb import VERSION
from testbed.consoles.tickets import Mode, Ticket, issue
from tests.testbed.consoles.vnc import VncServer


class Serial:
    """The serial console of one guest."""

    def __init__(
        self, on_output: Callable[[bytes], None], on_end: Callable[[], None]
    ) -> None:
        self.print = on_output
        self._on_end = on_end
        self.typed = b""
        self.is_reading = True
        self.may_close = threading.Event()
        self.may_close.set()
        self._is_open = True

    def send(self, data: bytes) -> bool:
        if self.is_reading:
            self.typed += data
        return self.is_reading

    def is_alive(self) -> bool:
        return self._is_open

    def end(self) -> None:
        """End, as a guest that goes off does."""
        self._is_open = False
        self._on_end()

    def close(self) -> None:
        self._is_open = False
        self.may_close.wait()


class Shell:
    """A shell; `b""` ends it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.sizes = [size]
        self.printed: queue.Queue[bytes] = queue.Queue()
        self.typed = b""
        self.is_reading = threading.Event()
        self.is_reading.set()
        self.is_closed = False
        self.is_lost = False
        self.reads = 0

    def read(self) -> bytes:
        data = self.printed.get()
        self.reads += 1
        return data

    def write(self, data: bytes) -> None:
        self.is_reading.wait()
        self.typed += data

    def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))

    def close(self) -> None:
        self.is_closed = True
        self.is_reading.set()
        self.printed.put(b"")


class Guests:
    """The guests of all hosts."""

    def __init__(self) -> None:
        self.past = b""
        self.refusal: TestbedError | None = None
        self.serials: list[Serial] = []
        self.shells: list[Shell] = []
        self.screens: list[VncServer] = []
        self.greeting = VERSION
        self.is_opening = False
        self.may_open = threading.Event()
        self.may_open.set()

    def open_serial(self, place: Place, *, on_output, on_end) -> Serial:
        if self.refusal:
            raise self.refusal
        self.serials.append(Serial(on_output, on_end))
        return self.serials[-1]

    def past_of(self, place: Place, size: int) -> bytes:
        return self.past[-size:]

    def open_screen(self, place: Place) -> Stream:
        self.is_opening = True
        self.may_open.wait()
        if self.refusal:
            raise self.refusal
        self.screens.append(VncServer(self.greeting))
        return self.screens[-1].stream

    def open_shell(self, place: Place, columns: int, rows: int) -> Shell:
        if self.refusal:
            raise self.refusal
        self.shells.append(Shell((columns, rows)))
        return self.shells[-1]

    def require_running(self, place: Place) -> None:
        if self.refusal:
            raise self.refusal


def is_off(name: str = "web") -> ConsoleUnavailable:
    return ConsoleUnavailable(f"Guest {name} is off.")


@asynccontextmanager
async def gateway(
    guests: Guests, path: Path, *, most: int = 10, idle_s: float = 600.0
) -> AsyncIterator[Gateway]:
    """Run a gateway that listens on `path`."""
    serving = Gateway(guests, most=most, idle_s=idle_s)
    task = asyncio.create_task(serving.serve(path))
    try:
        while not path.exists():
            assert not task.done(), task.exception()
            await asyncio.sleep(0.01)
        yield serving
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Page:
    """A link's words, and its bytes put together."""

    def __init__(self, link):
        self.link = link
        self.words = []
        self.data = bytearray()

    async def until(self, found):
        async with asyncio.timeout(30):
            while not found(self):
                frame = await self.link.next()
                assert frame is not None, (self.words, self.data)
                if frame.kind is Kind.DATA:
                    self.data += frame.content
                else:
                    self.words.append(json.loads(frame.content))
        return self

    async def until_state(self, state):
        await self.until(lambda page: page.states[-1:] == [state])
        return next(w for w in reversed(self.words) if w["type"] == "state")

    @property
    def states(self):
        return [w["state"] for w in self.words if w["type"] == "state"]

    def of(self, type_):
        return [w for w in self.words if w["type"] == type_]


class Pages:
    """Opens links as the web does, and closes them after the test."""

    def __init__(self) -> None:
        self._links: list[Link] = []

    async def __call__(self, **fields: object) -> Page:
        return await self.with_ticket(ticket(**fields))

    async def with_ticket(self, ticket: Ticket) -> Page:
        # A gateway takes no ticket from before its start.
        new = ticket.model_copy(update={"issued_at": time.time()})
        return await self.with_text(issue(new))

    async def with_text(self, text: str) -> Page:
        page = await self.without_ticket()
        await page.link.say(Open(ticket=text))
        return page

    async def without_ticket(self) -> Page:
        self._links.append(await open_link())
        return Page(self._links[-1])

    async def close(self) -> None:
        for link in self._links:
            link.close()
            # The transport closes its socket on the loop's next turn.
            await asyncio.sleep(0)


def ticket(**fields: object) -> Ticket:
    values = {
        "user_id": 1,
        "user": "olive",
        "session": "a" * 40,
        "testbed_id": 2,
        "testbed": "lab",
        "testbed_number": 12,
        "guest": "web",
        "mode": Mode.SERIAL,
        "may_type": True,
    }
    return Ticket(**(values | fields))


async def eventually(condition: Callable[[], object], timeout_s: float = 30) -> None:
    """Wait on this loop until a condition holds."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.01)
