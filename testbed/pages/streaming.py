"""Answers of the web that are sent while they are made, piece by piece.

An archive of many files, or the JSON of many answers, never is in memory as a whole. The
open downloads of each user are counted, in the one process that serves all users: each
keeps a file and a place to send from. Django closes an answer when it was sent or its
client is gone.
"""

import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from testbed.access.limits import LimitReached

PIECE_BYTES = 64 * 1024
FIRST_DATE = (2000, 1, 1, 0, 0, 0)
File = tuple[str, Iterable[bytes]]
MOST_DOWNLOADS = 16
_sent: defaultdict[int, "WeakSet[StreamingHttpResponse]"] = defaultdict(WeakSet)


class _Sink:
    """A write-only file; its content is taken out piece by piece."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def write(self, data: bytes, /) -> int:
        """Keep what was written."""
        self.pending += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: `taken` empties the buffer."""

    def close(self) -> None:
        """Do nothing: there is no file behind it."""

    def taken(self) -> bytes:
        """Return the bytes written since the last call."""
        data = bytes(self.pending)
        self.pending.clear()
        return data


def zip_pieces(files: Iterable[File]) -> Iterator[bytes]:
    """Yield a ZIP archive of files, each a name and the parts of its content."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, parts in files:
            entry = zipfile.ZipInfo(name, FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w") as file:
                for part in parts:
                    file.write(part)
                    if len(sink.pending) >= PIECE_BYTES:
                        yield sink.taken()
    yield sink.taken()


def in_pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Join short parts to pieces that are worth sending; none is empty."""
    pending = bytearray()
    for part in parts:
        pending += part
        if len(pending) >= PIECE_BYTES:
            yield bytes(pending)
            pending.clear()
    if pending:
        yield bytes(pending)


async def while_made(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Make each piece in a thread, once the one before it is on its way."""
    while piece := await sync_to_async(_next)(pieces):
        yield piece


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")


class TooManyDownloads(LimitReached):
    """A user has as many open downloads as are sent at once."""


def require_one_more(user: User) -> None:
    """Let a user have one more download. Raises: TooManyDownloads."""
    count = sum(not other.closed for other in _sent[user.pk])
    if count >= MOST_DOWNLOADS:
        raise TooManyDownloads(
            f"You have {count} open downloads; no more are sent at once.",
            hint="Wait until one is over, or stop one.",
        )


def note(user: User, answer: HttpResponseBase) -> None:
    """Count an answer until it is closed."""
    if isinstance(answer, StreamingHttpResponse):
        _sent[user.pk].add(answer)
