"""A guest's serial console, shared by all who have it open.

One stream, opened for the first viewer and closed after the last, so that `virsh
console` has it in between. Viewers read the newest output from one ring: a slow one
skips what has left it, and its page is told. A new stream has a new ring, which begins
with the log that QEMU writes beside the console: nothing of a boot is missed. While the
console cannot be opened, or after it ended, it is tried again.
"""

import asyncio
import logging
from dataclasses import dataclass

from orchestration.errors import TestbedError
from orchestration.providers.libvirt.consoles.serial import SerialConsole
from testbed.consoles.machines import Machines, Place
from testbed.consoles.messages import MAX_BYTES, Kind, Words, state_words
from testbed.consoles.ring import Ring
from testbed.consoles.viewer import Viewer, people_words

logger = logging.getLogger(__name__)
REPLAYED_BYTES = 100 * 1024
KEPT_BYTES = 512 * 1024
RETRY_S = 2.0
LOOK_S = 1.0


@dataclass(slots=True)
class _Shown:
    """The state and output that a viewer got so far."""

    ring: Ring | None = None
    position: int = 0
    replayed_to: int = 0
    state: Words | None = None
    people: Words | None = None


class SharedSerial:
    """One guest's serial console; its methods run on the gateway's loop."""

    def __init__(self, place: Place, machines: Machines) -> None:
        self._place = place
        self._machines = machines
        self._viewers: set[Viewer] = set()
        self._ring = Ring(KEPT_BYTES)
        self._console: SerialConsole | None = None
        self._state = state_words("opening")
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._is_waking = False
        self._following: asyncio.Task[None] | None = None

    async def view(self, viewer: Viewer, idle_s: float) -> None:
        """Show the console to a viewer until it leaves."""
        self._viewers.add(viewer)
        if self._following is None:
            self._state = state_words("opening")
            self._following = asyncio.create_task(self._follow())
        self._tell()
        try:
            await viewer.stay(self._show(viewer), self._listen(viewer), idle_s=idle_s)
        finally:
            self._viewers.discard(viewer)
            self._tell()

    async def _follow(self) -> None:
        try:
            while self._viewers:
                try:
                    await self._session()
                except TestbedError as exc:
                    self._tell(state_words("waiting", exc.message, exc.hint))
                    await self._pause(RETRY_S)
        except Exception:
            logger.exception("the serial console of %s failed", self._place)
            self._tell(
                state_words("failed", "The console failed.", "Load the page again.")
            )
        finally:
            self._following = None

    async def _session(self) -> None:
        """Open the console, and keep it while it lives and somebody looks.

        Raises: TestbedError (it cannot be opened).
        """
        ring = Ring(KEPT_BYTES)

        def on_output(data: bytes) -> None:
            ring.append(data)
            self._wake()

        def on_end() -> None:
            self._loop.call_soon_threadsafe(self._changed.set)

        console = await asyncio.to_thread(
            self._machines.open_serial,
            self._place,
            on_output=on_output,
            on_end=on_end,
        )
        try:
            past = await self._past()
            # It compares 100 KiB with each other, while other consoles go on.
            await asyncio.to_thread(ring.put_before, past)
            self._ring, self._console = ring, console
            self._tell(state_words("open"))
            while self._viewers:
                if not await asyncio.to_thread(console.is_alive):
                    break
                await self._pause(LOOK_S)
        finally:
            # Closing takes time: what is typed until the next opening reaches nobody.
            self._console = None
            self._tell(state_words("opening"))
            await asyncio.to_thread(console.close)

    async def _past(self) -> bytes:
        try:
            return await asyncio.to_thread(
                self._machines.past_of, self._place, REPLAYED_BYTES
            )
        except TestbedError as exc:
            logger.info("%s: its console's log cannot be read: %s", self._place, exc)
            return b""

    def _wake(self) -> None:
        """Wake the viewers from libvirt's thread, once for all output until they run."""
        if not self._is_waking:
            self._is_waking = True
            self._loop.call_soon_threadsafe(self._wake_viewers)

    def _wake_viewers(self) -> None:
        self._is_waking = False
        for viewer in self._viewers:
            viewer.news.set()

    def _tell(self, state: Words | None = None) -> None:
        """Let all know that the state, or who is there, has changed."""
        self._state = state or self._state
        self._changed.set()
        self._wake_viewers()

    async def _pause(self, seconds: float) -> None:
        """Wait, less when a viewer comes or goes or the stream ends."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _show(self, viewer: Viewer) -> None:
        shown = _Shown()
        while True:
            viewer.news.clear()
            await self._say_news(viewer, shown)
            is_replay = shown.position < shown.replayed_to
            most = shown.replayed_to - shown.position if is_replay else MAX_BYTES
            piece = self._ring.read(shown.position, min(most, MAX_BYTES))
            if piece.position > shown.position:
                skipped = piece.position - shown.position
                await viewer.say({"type": "skipped", "bytes": skipped})
            shown.position = piece.position + len(piece.data)
            if not piece.data:
                await viewer.news.wait()
                continue
            if is_replay:
                await viewer.say({"type": "replay", "bytes": len(piece.data)})
            await viewer.show(piece.data)

    async def _say_news(self, viewer: Viewer, shown: _Shown) -> None:
        if shown.ring is not self._ring:
            shown.ring = self._ring
            shown.replayed_to = self._ring.end
            shown.position = max(0, shown.replayed_to - REPLAYED_BYTES)
            await viewer.say({"type": "reset"})
        # What is typed during the replay would be lost: the page is open after it.
        if shown.position >= shown.replayed_to and shown.state != self._state:
            shown.state = self._state
            await viewer.say(self._state)
        people = people_words(self._viewers)
        if shown.people != people:
            shown.people = people
            await viewer.say(people)

    async def _listen(self, viewer: Viewer) -> None:
        """Type what a viewer types, while the console is open."""
        async for frame in viewer.frames():
            console = self._console
            if console is None or frame.kind is not Kind.DATA:
                continue
            if not console.send(frame.content):
                await viewer.say_dropped()
