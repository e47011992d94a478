"""A guest's screen: for each viewer a connection of its own to QEMU's VNC server.

QEMU draws for each as fast as that one asks, so a slow browser holds up nobody. After a
loss, a power cycle for one, the connection is made again every few seconds. Whatever a
browser says goes through `rfb.py`.
"""

import asyncio
import threading
from dataclasses import dataclass, field

from orchestration.errors import ConsoleUnavailable, TestbedError
from orchestration.transport.streams import Stream
from testbed.consoles.machines import Machines, Place
from testbed.consoles.messages import (
    MAX_BYTES,
    Kind,
    Ready,
    read_words,
    state_words,
)
from testbed.consoles.rfb import VERSION, ClientFilter
from testbed.consoles.viewer import Viewer, people_words, until_first

RETRY_S = 2.0
# Keys and questions for pictures; a browser sends a few hundred bytes a second.
MOST_UNSENT_BYTES = 64 * 1024
GREETING_S = 10.0


class SharedScreen:
    """The viewers of one guest's screen."""

    def __init__(self, place: Place, machines: Machines) -> None:
        self._place = place
        self._machines = machines
        self._viewers: set[Viewer] = set()

    async def view(self, viewer: Viewer, idle_s: float) -> None:
        """Show the screen to a viewer until it leaves."""
        shown = _Shown(viewer, self._place, self._machines)
        self._viewers.add(viewer)
        self._wake()
        try:
            await viewer.stay(
                shown.follow(), shown.listen(), self._tell(viewer), idle_s=idle_s
            )
        finally:
            self._viewers.discard(viewer)
            self._wake()
            await asyncio.to_thread(shown.leave)

    def _wake(self) -> None:
        for viewer in self._viewers:
            viewer.news.set()

    async def _tell(self, viewer: Viewer) -> None:
        """Tell a viewer who else is there."""
        while True:
            viewer.news.clear()
            await viewer.say(people_words(self._viewers))
            await viewer.news.wait()


@dataclass(slots=True)
class _Connection:
    """One connection to the VNC server; the page sends on it once it is ready."""

    stream: Stream
    filter: ClientFilter
    is_ready: bool = False
    unsent: bytearray = field(default_factory=bytearray)
    has_unsent: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, data: bytes) -> None:
        """Filter what a page sent. Raises: BadMessage.

        A server that reads nothing is left: half a message would confuse it.
        """
        self.unsent += self.filter.feed(data)
        self.has_unsent.set()
        if len(self.unsent) > MOST_UNSENT_BYTES:
            self.unsent.clear()
            await asyncio.to_thread(self.stream.close)

    async def send(self) -> None:
        """Send what was taken, until cancelled."""
        while True:
            await self.has_unsent.wait()
            self.has_unsent.clear()
            data = bytes(self.unsent)
            self.unsent.clear()
            await asyncio.to_thread(self.stream.write, data)


class _Shown:
    """A screen as one viewer sees it, over all connections."""

    def __init__(self, viewer: Viewer, place: Place, machines: Machines) -> None:
        self._viewer = viewer
        self._place = place
        self._machines = machines
        self._connection: _Connection | None = None
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self._has_left = False

    async def follow(self) -> None:
        """Connect and show, again after each end, until cancelled."""
        await self._viewer.say(state_words("opening"))
        while True:
            try:
                await self._session()
            except TestbedError as exc:
                waiting = state_words("waiting", exc.message, exc.hint)
                await self._viewer.say(waiting)
            await asyncio.sleep(RETRY_S)

    async def listen(self) -> None:
        """Pass on what the page sends, until it goes. Raises: BadMessage."""
        async for frame in self._viewer.frames():
            connection = self._connection
            if connection is None:
                continue
            if frame.kind is Kind.WORDS:
                words = read_words(frame.content)
                connection.is_ready |= isinstance(words, Ready)
            elif connection.is_ready:
                await connection.take(frame.content)

    def leave(self) -> None:
        """Close the stream, also one that is being opened. Blocks."""
        with self._lock:
            self._has_left = True
            stream = self._stream
        if stream is not None:
            stream.close()

    async def _session(self) -> None:
        """Show one connection until its end. Raises: TestbedError, at the end too."""
        stream = await asyncio.to_thread(self._open)
        try:
            async with asyncio.timeout(GREETING_S):
                greeting = await self._greeting(stream)
            rfb = ClientFilter(
                may_type=self._viewer.ticket.may_type, on_typing=self._viewer.note_use
            )
            self._connection = _Connection(stream, rfb)
            await self._viewer.say({"type": "reset"})
            await self._viewer.say(state_words("open"))
            await self._viewer.show(greeting)
            await until_first(self._show(stream), self._connection.send())
        except TimeoutError:
            raise self._unavailable("does not answer") from None
        finally:
            self._connection = None
            await asyncio.to_thread(stream.close)
        raise self._unavailable("has ended")

    def _open(self) -> Stream:
        stream = self._machines.open_screen(self._place)
        with self._lock:
            self._stream = stream
            has_left = self._has_left
        if has_left:
            stream.close()
        return stream

    async def _greeting(self, stream: Stream) -> bytes:
        """Return the server's first bytes. A browser talks to nothing but VNC."""
        greeting = b""
        while len(greeting) < len(VERSION):
            piece = await asyncio.to_thread(stream.read)
            if not piece:
                raise self._unavailable("has ended")
            greeting += piece
        if not greeting.startswith(VERSION):
            raise self._unavailable("does not answer as VNC")
        return greeting

    async def _show(self, stream: Stream) -> None:
        while data := await asyncio.to_thread(stream.read):
            for start in range(0, len(data), MAX_BYTES):
                await self._viewer.show(data[start : start + MAX_BYTES])

    def _unavailable(self, what: str) -> ConsoleUnavailable:
        return ConsoleUnavailable(f"The screen of guest {self._place.guest} {what}.")
