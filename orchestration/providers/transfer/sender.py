"""Sends one content to one host: resumed after a broken link, verified at the end.

Used by `push.py`, which knows that the host lacks it and holds the lock. Only data
travels; the rest is a hole there, because the receiver begins with an empty file of the
full size and writes nothing else. So the digest of the data in its places, read again
there from the file, and the size prove the whole.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from orchestration.amounts import so_far
from orchestration.errors import (
    AuthenticationRefused,
    Cancelled,
    CommandFailed,
    HostKeyMismatch,
    HostUnreachable,
    ImageFailed,
    NotEnoughSpace,
    TestbedError,
)
from orchestration.providers.images.space import require_space
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.layout import layout_of
from orchestration.providers.transfer.receiver import Observation, Place
from orchestration.providers.transfer.source import Content
from orchestration.providers.transfer.store import HostStore
from orchestration.providers.transfer.stream import Stream
from orchestration.transport.base import (
    Command,
    Completed,
    OnProgress,
)
from orchestration.transport.files.copying import COPY_TIMEOUT_S, put_failed

# The pauses before each further try; they start over when a try made progress.
PAUSES_S = (0.5, 2.0, 5.0, 10.0, 20.0)
# Errors that a retry does not help.
_FINAL = (AuthenticationRefused, HostKeyMismatch)


@dataclass(frozen=True, slots=True)
class Sent:
    """The cost of one transfer; `wire_bytes` are those of all its attempts."""

    size: int
    data_bytes: int
    wire_bytes: int
    seconds: float


class _Broken(Exception):
    """The link or the receiver went away; the received bytes stay."""

    def __init__(self, reason: TestbedError) -> None:
        super().__init__(reason.message)
        self.reason = reason


class Sending:
    """One transfer of a content into a host's store, with all its attempts.

    With `compressed` the data is compressed where the host has zstd.
    """

    def __init__(
        self,
        content: Content,
        file: BinaryIO,
        store: HostStore,
        *,
        on_progress: OnProgress,
        compressed: bool,
    ) -> None:
        self._content = content
        self._descriptor = file.fileno()
        self._layout = layout_of(self._descriptor, os.fstat(self._descriptor).st_size)
        self._store = store
        self._on_progress = on_progress
        self._is_compressed = compressed
        self._wire_bytes = 0

    def run(self, seen: Observation) -> Sent:
        """Send until the content is there; `seen` is the host's state of it.

        Raises: HostUnreachable (stayed away), ImageFailed, NotEnoughSpace, Cancelled.
        """
        started = time.monotonic()
        self._require_unchanged()
        self._require_space(seen)
        if self._is_compressed and not seen.has_zstd:
            self._store.log(
                f"{self._machine} has no zstd: the copy is sent uncompressed. Install "
                "the package zstd there, or turn compression off for this host."
            )
        try:
            self._persist(seen)
        except (Cancelled, ImageFailed, NotEnoughSpace, CommandFailed):
            self._store.discard()
            raise
        return Sent(
            self._layout.size,
            self._layout.data_bytes,
            self._wire_bytes,
            time.monotonic() - started,
        )

    def _require_unchanged(self) -> None:
        """Check that the file still matches its digest. Raises: ImageFailed."""
        now, content = os.fstat(self._descriptor), self._content
        if (now.st_size, now.st_mtime_ns) != (content.size, content.changed_ns):
            raise ImageFailed(
                f"The file on main was changed while it was copied to {self._machine}; "
                "nothing of it is kept there.",
                hint="Start again when no program writes to it.",
                detail=f"for {self._store.place.name}",
            )

    @property
    def _machine(self) -> str:
        return self._store.transport.machine

    def _persist(self, seen: Observation) -> None:
        """Try again while the link breaks, unless no try makes progress any more."""
        tries, furthest = 0, seen.arrived(self._layout)
        while True:
            try:
                self._attempt(seen)
                return
            except _Broken as broken:
                reason = broken.reason
            while tries < len(PAUSES_S):
                pause_s, tries = PAUSES_S[tries], tries + 1
                self._store.log(
                    f"The copy to {self._machine} was interrupted: {reason.message} "
                    f"Trying again in {pause_s:g} s."
                )
                self._store.scope.sleep(pause_s)
                try:
                    seen = self._store.observe_again()
                    break
                except _FINAL:
                    raise
                except HostUnreachable as exc:
                    reason = exc
            else:
                raise _gave_up(reason, self._machine)
            if seen.holds(self._store.place, self._layout.size):
                return  # only the answer was lost
            if seen.arrived(self._layout) > furthest:
                tries, furthest = 0, seen.arrived(self._layout)

    def _attempt(self, seen: Observation) -> None:
        """Send the missing data, then have it verified. Raises: _Broken."""
        try:
            self._send(seen)
            self._require_received(self._run(receiver.finish(self._store.place)))
        except _FINAL:
            raise
        except HostUnreachable as exc:
            raise _Broken(exc) from exc

    def _send(self, seen: Observation) -> None:
        """Send the missing data and check that all of it is right there."""
        place, layout = self._store.place, self._layout
        if offset := seen.arrived(layout):
            at = so_far(offset, layout.data_bytes, "B")
            self._store.log(f"resumed at {at} on {self._machine}")
        compressed = self._is_compressed and seen.has_zstd
        receive = receiver.receive(place, layout, offset, compressed=compressed)
        stream = Stream(self._descriptor, layout, offset, compressed=compressed)
        try:
            with stream:
                feed = stream.pieces(self._store.scope, self._on_progress)
                completed = self._run(receive, feed)
                self._require_received(completed)
                for _ in feed:  # the digest needs the host's earlier bytes, too
                    continue
        except (OSError, EOFError) as exc:
            raise _not_read(place, exc) from exc
        finally:
            self._wire_bytes += stream.wire_bytes
        self._require_unchanged()
        if completed.stdout.split()[:1] != [stream.digest]:
            raise _damaged(place, self._machine, completed.stdout, stream.digest)

    def _run(self, cmd: Command, feed: Iterator[bytes] | None = None) -> Completed:
        return self._store.transport.run(
            cmd,
            scope=self._store.scope,
            timeout_s=COPY_TIMEOUT_S,
            check=False,
            feed=feed,
        )

    def _require_received(self, completed: Completed) -> None:
        """Raises: _Broken, NotEnoughSpace, CommandFailed."""
        code = completed.exit_code
        if code == 0:
            return
        failed = CommandFailed(
            f"{self._machine} stopped receiving.",
            exit_code=code,
            detail=completed.stderr[-2000:],
        )
        if code in (receiver.INPUT_ENDED, receiver.TAKEN_OVER) or code > 128:
            raise _Broken(failed)
        raise put_failed(failed, self._store.place.name, self._machine)

    def _require_space(self, seen: Observation) -> None:
        needed = self._layout.data_bytes - seen.arrived(self._layout)
        require_space(
            self._store.place.name,
            f"on {self._machine}",
            needed_bytes=needed,
            free_bytes=seen.free_bytes,
        )


def _not_read(place: Place, error: Exception) -> ImageFailed:
    return ImageFailed(
        f"The file of {place.name} could not be read on main.",
        hint="Check that the file is there and can be read, then start again.",
        detail=str(error),
    )


def _damaged(place: Place, machine: str, found: str, expected: str) -> ImageFailed:
    return ImageFailed(
        f"The copy of {place.name} on {machine} was damaged; it was discarded.",
        hint="Start again to copy it once more. If that fails too, test the disk and "
        "the memory of that host.",
        detail=f"expected {expected}\nfound    {found}",
    )


def _gave_up(reason: TestbedError, machine: str) -> HostUnreachable:
    return HostUnreachable(
        f"The copy to {machine} was given up: {reason.message}",
        hint=f"{reason.hint} Start again when it is back: the copy goes on where "
        "it stopped.".strip(),
        detail=reason.detail,
        retryable=True,
    )
