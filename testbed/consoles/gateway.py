"""The console gateway: an asyncio process of root's with one unix socket for the web.

`manage.py console_gateway` runs it. The web presents a ticket and gets bytes: the
gateway knows no user and no permission, and whatever ends the web's connection ends the
console. A thread of a bounded number waits for each stream that is being opened, read
or written.
"""

import asyncio
import contextlib
import logging
import math
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weakref import WeakValueDictionary

from orchestration.errors import TestbedError
from orchestration.files import give_to_owner_of
from testbed.consoles.machines import Machines, Place, place_of
from testbed.consoles.messages import (
    MAX_BYTES,
    BadMessage,
    Kind,
    Open,
    pack_words,
    read_frame,
    read_words,
    state_words,
)
from testbed.consoles.screen import SharedScreen
from testbed.consoles.serial import SharedSerial
from testbed.consoles.shell import view_shell
from testbed.consoles.tickets import Mode, Redemption
from testbed.consoles.viewer import Viewer

logger = logging.getLogger(__name__)
# A shell's or a screen's reader and writer, and the look at its guest; a few more open
# and close.
THREADS_EACH = 4
OPEN_WITHIN_S = 10.0
SOCKET_MODE = 0o660
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class AlreadyThere(TestbedError):
    """Another gateway listens on the socket."""


class Gateway:
    """All open consoles. `most` may be open at once, of one user half of them."""

    def __init__(self, machines: Machines, *, most: int, idle_s: float) -> None:
        self._machines = machines
        self._most = most
        self._idle_s = idle_s
        self._tickets = Redemption()
        # One that nobody looks at, and whose stream is closed, goes.
        self._serials = WeakValueDictionary[Place, SharedSerial]()
        self._screens = WeakValueDictionary[Place, SharedScreen]()
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._of_user = Counter[int]()

    async def serve(self, path: Path) -> None:
        """Listen until SIGTERM or SIGINT. Raises: AlreadyThere, OSError."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS_EACH * self._most))
        over = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, over.set)
        async with await _listen(path, self._connected):
            logger.info("listening on %s", path)
            try:
                await over.wait()
            finally:
                for writer in self._connections.values():
                    writer.close()
                await asyncio.gather(*self._connections, return_exceptions=True)
                path.unlink(missing_ok=True)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - asyncio runs this as a task
            return
        self._connections[task] = writer
        try:
            await self._serve_one(reader, writer)
        except* (ConnectionError, BadMessage) as group:
            # So does each look whether the gateway listens.
            logger.debug("a console's connection ended: %s", group.exceptions[0])
        finally:
            self._connections.pop(task)
            writer.close()

    async def _serve_one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            viewer = await self._admit(reader, writer)
        except TestbedError as exc:
            writer.write(pack_words(state_words("failed", exc.message, exc.hint)))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return
        user = viewer.ticket.user_id
        self._of_user[user] += 1
        try:
            await self._show(viewer)
        finally:
            self._of_user[user] -= 1

    async def _show(self, viewer: Viewer) -> None:
        if viewer.ticket.mode is Mode.SHELL:
            await view_shell(viewer, self._machines, self._idle_s)
            return
        place = place_of(viewer.ticket)
        if viewer.ticket.mode is Mode.SCREEN:
            screen = self._screens.setdefault(
                place, SharedScreen(place, self._machines)
            )
            await screen.view(viewer, self._idle_s)
            return
        shared = self._serials.setdefault(place, SharedSerial(place, self._machines))
        await shared.view(viewer, self._idle_s)

    async def _admit(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Viewer:
        """Take the ticket of a connection. Raises: TestbedError."""
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                frame = await read_frame(reader)
        except TimeoutError:
            frame = None
        if frame is None or frame.kind is not Kind.WORDS:
            raise BadMessage("A console's connection begins with its ticket.")
        opened = read_words(frame.content)
        if not isinstance(opened, Open):
            raise BadMessage("A console's connection begins with its ticket.")
        ticket = self._tickets.take(opened.ticket)
        if len(self._connections) > self._most:
            raise TestbedError(
                f"{self._most} consoles are open already.", hint="Try again later."
            )
        if self._of_user[ticket.user_id] >= math.ceil(self._most / 2):
            raise TestbedError(
                f"You have {self._of_user[ticket.user_id]} open consoles, half of all.",
                hint="Close some of them.",
            )
        return Viewer(ticket, opened, reader, writer)


async def _listen(path: Path, connected: Connected) -> asyncio.Server:
    """Listen on a socket that only its folder's owner and group may connect to."""
    if await _answers(path):
        raise AlreadyThere(f"A console gateway listens on {path} already.")
    path.unlink(missing_ok=True)
    before = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(connected, path, limit=2 * MAX_BYTES)
    finally:
        os.umask(before)
    give_to_owner_of(path.parent, path)
    path.chmod(SOCKET_MODE)
    return server


async def _answers(path: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:
        return False
    writer.close()
    return True
