"""Counts connections that ended before a login, for all processes of this machine.

OpenSSH 9.8 and later adds seconds to a source for each of them and refuses it from
15 s on. So a failed attempt is repeated only after a pause, in which callers get its
error. A connection that was not accepted costs nothing and is not counted.
"""

import time
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import BaseModel

from orchestration import ledgers
from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
    TemporarilyRefused,
)

# The penalty that sshd adds: PerSourcePenalties noauth:1 authfail:5.
PAUSE_S = 1.0
AUTHENTICATION_PAUSE_S = 5.0
FORGOTTEN_S = 600.0
_KINDS: dict[str, type[HostUnreachable]] = {
    kind.__name__: kind
    for kind in (
        AuthenticationRefused,
        HostKeyMismatch,
        HostUnreachable,
        TemporarilyRefused,
    )
}


class Failure(BaseModel):
    """The last connection to one place that ended before a login, and their count."""

    tried_at: float
    pause_s: float
    count: int
    kind: str
    message: str
    hint: str
    detail: str
    retryable: bool

    def error(self) -> HostUnreachable:
        """Return the error of the attempt."""
        kind = _KINDS.get(self.kind, HostUnreachable)
        return kind(
            self.message, hint=self.hint, detail=self.detail, retryable=self.retryable
        )


class Book(BaseModel):
    """Content of the file: the failed places, by address."""

    places: dict[str, Failure] = {}


class Failures:
    """The ledger; thread-safe, and shared by all users of the same file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def claim(self, place: str) -> None:
        """Reserve the next attempt. Raises: the last attempt's error, in its pause."""
        if not self._path.exists():
            return
        with self._opened() as book:
            last = book.places.get(place)
            now = time.time()
            if last is None:
                return
            if 0 <= now - last.tried_at < last.pause_s:
                raise last.error()
            last.tried_at = now

    def release(self, place: str) -> None:
        """Record that the connection was not accepted: the next attempt may follow."""
        if not self._path.exists():
            return
        with self._opened() as book:
            if place in book.places:
                book.places[place].tried_at = 0.0

    def note(
        self, place: str, error: HostUnreachable, *, tried_at: float, pause_s: float
    ) -> int:
        """Count a connection that ended before a login; return the count."""
        with self._opened() as book:
            now = time.time()
            book.places = {
                name: failure
                for name, failure in book.places.items()
                if name == place or now - failure.tried_at < FORGOTTEN_S
            }
            last = book.places.get(place)
            count = 1 + (last.count if last else 0)
            book.places[place] = Failure(
                tried_at=tried_at,
                pause_s=pause_s,
                count=count,
                kind=type(error).__name__,
                message=error.message,
                hint=error.hint,
                detail=error.detail,
                retryable=error.retryable,
            )
        return count

    def forget(self, place: str) -> None:
        """Remove a place's failures after a successful login."""
        if not self._path.exists():
            return
        with self._opened() as book:
            book.places.pop(place, None)

    def _opened(self) -> AbstractContextManager[Book]:
        return ledgers.opened(self._path, Book)
