"""Frames between web and gateway, and the words inside them.

A frame is a kind (one byte), a length (four bytes, big-endian) and its content: a piece
of a console's bytes, or words as a JSON object. The gateway's words go on to the page as
they are (docs/protocol.md, "Consoles").
"""

import asyncio
import json
from enum import Enum
from struct import Struct
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from orchestration.errors import TestbedError

MAX_BYTES = 64 * 1024
_HEAD = Struct(">cI")
Words = dict[str, object]


class BadMessage(TestbedError):
    """The other side said something that is no message."""


class Kind(Enum):
    """The kinds of frames."""

    DATA = b"d"
    WORDS = b"w"


class Frame(NamedTuple):
    """One frame; `content` has at most MAX_BYTES."""

    kind: Kind
    content: bytes


class Size(BaseModel):
    """The size of a page's terminal."""

    columns: int = Field(default=80, ge=2, le=1000)
    rows: int = Field(default=24, ge=2, le=1000)


class Open(Size):
    """The first words of a page: its ticket."""

    type: Literal["open"] = "open"
    ticket: str = Field(max_length=4096)


class Resize(Size):
    """The terminal has another size now."""

    type: Literal["resize"] = "resize"


class Taken(BaseModel):
    """The page has shown so many more bytes; it gets no more than it takes."""

    type: Literal["taken"] = "taken"
    bytes: int = Field(ge=0, le=1 << 30)


class Ready(BaseModel):
    """The page has begun anew after `reset`: its bytes from here on are for that."""

    type: Literal["ready"] = "ready"


Incoming = Open | Resize | Taken | Ready
_incoming: TypeAdapter[Incoming] = TypeAdapter(
    Annotated[Incoming, Field(discriminator="type")]
)


def read_words(text: str | bytes) -> Incoming:
    """Return a page's words. Raises: BadMessage."""
    try:
        return _incoming.validate_json(text)
    except (ValidationError, RecursionError) as exc:
        raise BadMessage("This is no message of a console's page.") from exc


def state_words(state: str, text: str = "", hint: str = "") -> Words:
    """Say how the console stands: opening, open, waiting, over, idle or failed."""
    return {"type": "state", "state": state, "text": text, "hint": hint}


def pack(frame: Frame) -> bytes:
    """Return a frame's bytes."""
    return _HEAD.pack(frame.kind.value, len(frame.content)) + frame.content


def pack_words(words: Words | BaseModel) -> bytes:
    """Return the bytes of words."""
    text = (
        words.model_dump_json() if isinstance(words, BaseModel) else json.dumps(words)
    )
    return pack(Frame(Kind.WORDS, text.encode()))


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Return the next frame, None after the last. Raises: BadMessage."""
    try:
        kind, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if size > MAX_BYTES:
            raise BadMessage(f"A frame of {size} bytes was announced.")
        return Frame(Kind(kind), await reader.readexactly(size))
    except ValueError as exc:
        raise BadMessage("A frame of an unknown kind was announced.") from exc
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
