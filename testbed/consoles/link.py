"""The web's connection to the console gateway, for one websocket."""

import asyncio

from django.conf import settings
from pydantic import BaseModel

from orchestration.errors import TestbedError
from testbed.consoles.messages import (
    MAX_BYTES,
    Frame,
    Kind,
    pack,
    pack_words,
    read_frame,
)


class GatewayAway(TestbedError):
    """No console gateway listens."""


class Link:
    """An open connection; what is read no faster than the browser takes it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, words: BaseModel) -> None:
        """Pass words on. Raises: ConnectionError."""
        self._writer.write(pack_words(words))
        await self._writer.drain()

    async def type(self, data: bytes) -> None:
        """Pass typing on; the gateway bounds what waits. Raises: ConnectionError."""
        for start in range(0, len(data), MAX_BYTES):
            piece = data[start : start + MAX_BYTES]
            self._writer.write(pack(Frame(Kind.DATA, piece)))
            await self._writer.drain()

    async def next(self) -> Frame | None:
        """Return the next frame, None when the gateway has ended it."""
        return await read_frame(self._reader)

    def close(self) -> None:
        """Leave the console."""
        self._writer.close()


async def open_link() -> Link:
    """Connect to the gateway. Raises: GatewayAway."""
    try:
        reader, writer = await asyncio.open_unix_connection(
            settings.CONSOLE_SOCKET, limit=2 * MAX_BYTES
        )
    except OSError as exc:
        raise GatewayAway(
            "The console gateway does not answer.",
            hint="An admin starts it: `systemctl start testbed-consoles`.",
            detail=str(exc),
        ) from exc
    return Link(reader, writer)
