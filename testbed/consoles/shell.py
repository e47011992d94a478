"""A login shell in a guest, for one viewer: SSH with a terminal of the page's size.

Its output waits for the browser, as SSH's window does for us; typing waits in a queue of
its own, so that a shell that prints and does not read can still be told to stop.
"""

import asyncio

from orchestration.errors import ConsoleUnavailable, TestbedError
from orchestration.transport.ssh import Terminal
from testbed.consoles.machines import Machines, place_of
from testbed.consoles.messages import (
    MAX_BYTES,
    Kind,
    Resize,
    Words,
    read_words,
    state_words,
)
from testbed.consoles.viewer import Viewer

MOST_UNSENT_BYTES = 1024 * 1024
LOOK_S = 5.0


async def view_shell(viewer: Viewer, machines: Machines, idle_s: float) -> None:
    """Open a shell and show it until it or its viewer ends."""
    await viewer.say(state_words("opening"))
    try:
        terminal = await asyncio.to_thread(
            machines.open_shell,
            place_of(viewer.ticket),
            viewer.opened.columns,
            viewer.opened.rows,
        )
    except TestbedError as exc:
        await viewer.say(state_words("failed", exc.message, exc.hint))
        return
    typed = _Typed()
    try:
        await viewer.say(state_words("open"))
        await viewer.stay(
            _show(viewer, terminal),
            _listen(viewer, terminal, typed),
            _type(terminal, typed),
            _look(viewer, machines),
            idle_s=idle_s,
        )
    finally:
        await asyncio.to_thread(terminal.close)


class _Typed:
    """Typing that waits for the shell."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._bytes = 0

    def put(self, data: bytes) -> bool:
        """Add typing; False when too much waits already."""
        if self._bytes + len(data) > MOST_UNSENT_BYTES:
            return False
        self._bytes += len(data)
        self._pieces.put_nowait(data)
        return True

    async def next(self) -> bytes:
        """Return what was typed next."""
        data = await self._pieces.get()
        self._bytes -= len(data)
        return data


async def _show(viewer: Viewer, terminal: Terminal) -> None:
    while data := await asyncio.to_thread(terminal.read):
        for start in range(0, len(data), MAX_BYTES):
            await viewer.show(data[start : start + MAX_BYTES])
    await viewer.say(_end_words(viewer.ticket.guest, is_lost=terminal.is_lost))


def _end_words(guest: str, *, is_lost: bool) -> Words:
    if not is_lost:
        return state_words("over", "The shell has ended.")
    return state_words(
        "over",
        f"The connection to guest {guest} was lost, and the shell with it.",
        "Reconnect opens another shell.",
    )


async def _look(viewer: Viewer, machines: Machines) -> None:
    """Return when the guest has gone off, which SSH through its host tells much later.

    A guest that is only paused, or a host that does not answer, may come back.
    """
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            await asyncio.to_thread(machines.require_running, place_of(viewer.ticket))
        except ConsoleUnavailable as exc:
            await viewer.say(state_words("over", exc.message, exc.hint))
            return
        except TestbedError:
            continue


async def _listen(viewer: Viewer, terminal: Terminal, typed: _Typed) -> None:
    async for frame in viewer.frames():
        if frame.kind is Kind.DATA:
            if not typed.put(frame.content):
                await viewer.say_dropped()
        elif isinstance(words := read_words(frame.content), Resize):
            await asyncio.to_thread(terminal.resize, words.columns, words.rows)


async def _type(terminal: Terminal, typed: _Typed) -> None:
    while True:
        await asyncio.to_thread(terminal.write, await typed.next())
