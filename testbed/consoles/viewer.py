"""One browser at a console, as the gateway knows it: the web's connection.

What a viewer is sent waits until the web has taken the last piece, so that a slow
browser holds no memory here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

from testbed.consoles.messages import (
    Frame,
    Kind,
    Open,
    Words,
    pack,
    pack_words,
    read_frame,
    state_words,
)
from testbed.consoles.tickets import Mode, Ticket

LOOK_AT_IDLE_S = 1.0
# A page that takes nothing is left without hearing why.
LAST_WORDS_S = 5.0
DROPPED = "The guest does not read what is typed. Some of it was dropped."


@dataclass(eq=False, slots=True)
class Viewer:
    """A connection of the web after its ticket was taken."""

    ticket: Ticket
    opened: Open
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    news: asyncio.Event = field(default_factory=asyncio.Event)
    used_at: float = field(default_factory=time.monotonic)

    async def say(self, words: Words) -> None:
        """Send words. Raises: ConnectionError."""
        self.writer.write(pack_words(words))
        await self.writer.drain()

    async def show(self, data: bytes) -> None:
        """Send output, of at most MAX_BYTES. Raises: ConnectionError."""
        self.writer.write(pack(Frame(Kind.DATA, data)))
        await self.writer.drain()

    async def say_dropped(self) -> None:
        """Say that typing was dropped."""
        await self.say({"type": "notice", "text": DROPPED})

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what the web sends until it goes; only typing of who may type.

        A screen's page sends all the time: `screen.py` tells typing by itself.
        """
        is_screen = self.ticket.mode is Mode.SCREEN
        while (frame := await read_frame(self.reader)) is not None:
            if not is_screen:
                self.note_use()
            if frame.kind is Kind.WORDS or self.ticket.may_send:
                yield frame

    def note_use(self) -> None:
        """Begin the time anew after which the console is closed."""
        self.used_at = time.monotonic()

    async def stay(self, *work: Coroutine[Any, Any, None], idle_s: float) -> None:
        """Do all work until the first of it ends, or nothing was typed for too long."""
        await until_first(*work, self._idle(idle_s))

    async def _idle(self, idle_s: float) -> None:
        while time.monotonic() - self.used_at < idle_s:
            await asyncio.sleep(LOOK_AT_IDLE_S)
        minutes = max(1, round(idle_s / 60))
        words = f"Closed: nothing was typed for {minutes} minutes."
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self.say(state_words("idle", words))
        except TimeoutError:
            self.writer.transport.abort()


def people_words(viewers: Iterable[Viewer]) -> Words:
    """Say who has a console open, and who of them types."""
    found = sorted((v.ticket.user, not v.ticket.may_type) for v in viewers)
    people = [{"name": name, "types": not reads} for name, reads in found]
    return {"type": "people", "people": people}


async def until_first(*work: Coroutine[Any, Any, None]) -> None:
    """Do all work until the first of it ends."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
