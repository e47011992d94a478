"""Sends a large file in parts, as tus 1.0 asks; docs/api.md has the rules.

A piece of a part is in memory at a time. The server keeps what has arrived for a day: after a
broken connection, and in a later command, the upload of the same content goes on there.
It compares the digest of the whole before the file is in its place.
"""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from orchestration.errors import TestbedError
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import (
    ServerProblem,
    ServerUnreachable,
    StaleCopy,
)
from testbed.client.rest.server import Server
from testbed.client.sync.decide import Sending
from testbed.client.watching import RECONNECT_EVERY_S, RECONNECT_FOR_S

# Smaller files are sent whole. A part that breaks off is sent again from its begin.
PART_BYTES = 16 * 1024**2
PIECE_BYTES = 256 * 1024
PART_TYPE = "application/offset+octet-stream"
# The path, the bytes of it that have arrived, and its size.
OnPart = Callable[[str, int, int], None]
# The server or its proxy restarts, or still reads a part that broke off.
_PASSING = (
    HTTPStatus.CONFLICT,
    HTTPStatus.LOCKED,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
# The server may still read a part that broke off.
_END_TRIES = 10
_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@dataclass(slots=True)
class LargeFile:
    """A file of a folder on its way to a testbed."""

    server: Server
    testbed: str
    file: Path
    sending: Sending
    on_part: OnPart
    sleep: Callable[[float], None] = time.sleep
    _key: str = ""
    _lost_at: float = 0.0
    _size: int = field(init=False)

    def __post_init__(self) -> None:
        self._size = self.file.stat().st_size

    def send(self) -> str:
        """Send what the server lacks, and put the file in its place; return its tag.

        Raises: StaleCopy (another one is there by now), ServerProblem, TestbedError (it
        is changed meanwhile), ServerUnreachable (for two minutes), OSError.
        """
        while True:
            try:
                return self._send_rest()
            except StaleCopy:
                self._end(self._key)
                self._tell_lost()
                raise
            except (ServerProblem, ServerUnreachable) as exc:
                if self._key and _is_gone(exc):
                    return self._tag_in_place()
                self._require_passing(exc)
            self.sleep(RECONNECT_EVERY_S)

    def _send_rest(self) -> str:
        self._key = self._key or self._open_key() or self._begin()
        offset = self._arrived()
        while True:
            self.on_part(self.sending.path, offset, self._size)
            part = _Part(self.file, offset, min(PART_BYTES, self._size - offset))
            headers = {
                "Upload-Offset": str(offset),
                "Content-Type": PART_TYPE,
                "Content-Length": str(part.count),
            }
            try:
                answer = self.server.exchange(
                    "PATCH", f"/uploads/{self._key}", headers=headers, data=part
                )
            except EOFError as exc:
                raise self._changed() from exc
            offset, self._lost_at = int(answer["Upload-Offset"]), 0.0
            if tag := answer.get("ETag", "").strip('"'):
                self.on_part(self.sending.path, offset, self._size)
                return tag

    def _open_key(self) -> str:
        """Return the key of the user's open upload of this content; "" for none.

        One of another content to this path would never be gone on with: it is ended.
        """
        found = [
            one
            for one in self.server.get("/uploads")["items"]
            if (one["testbed"], one["path"]) == (self.testbed, self.sending.path)
        ]
        account = self.server.get("/me")["account"] if found else ""
        wanted = (self._size, self.sending.digest, self.sending.seen)
        key = ""
        for one in found:
            if one["user"] != account:
                continue
            if (one["size"], one["sha256"], one["replaces"]) == wanted:
                key = str(one["key"])
            else:
                self._end(str(one["key"]))
        return key

    def _begin(self) -> str:
        about = {"path": self.sending.path, "sha256": self.sending.digest}
        if self.sending.seen:
            about["replaces"] = self.sending.seen
        words = (
            f"{name} {b64encode(text.encode()).decode()}"
            for name, text in about.items()
        )
        headers = {
            "Upload-Length": str(self._size),
            "Upload-Metadata": ",".join(words),
        }
        place = path_of(self.testbed, "uploads")
        answer = self.server.exchange("POST", place, headers=headers)
        return answer["Location"].rstrip("/").rpartition("/")[2]

    def _arrived(self) -> int:
        answer = self.server.exchange("HEAD", f"/uploads/{self._key}")
        return int(answer["Upload-Offset"])

    def _tag_in_place(self) -> str:
        """Return the tag of a file whose upload is gone: its last answer was lost.

        Raises: TestbedError (it was ended).
        """
        files = self.server.get(path_of(self.testbed, "inputs"))["files"]
        tags = {one["path"]: one["etag"] for one in files}
        if tags.get(self.sending.path) == self.sending.digest:
            return self.sending.digest
        self._tell_lost()
        raise TestbedError(
            f"The upload of {self.sending.path} was ended on the server.",
            hint="Do it again: the file is sent from its begin.",
        )

    def _end(self, key: str) -> None:
        """End an upload; one that stays busy expires, or is ended by the next sync."""
        for _ in range(_END_TRIES if key else 0):
            try:
                self.server.delete(f"/uploads/{key}")
            except ServerProblem as exc:
                if exc.status != HTTPStatus.LOCKED:
                    return
                self.sleep(RECONNECT_EVERY_S)
            except ServerUnreachable:
                return
            else:
                return

    def _tell_lost(self) -> None:
        """Tell that the server keeps nothing of it."""
        self.on_part(self.sending.path, 0, self._size)

    def _require_passing(self, exc: ServerProblem | ServerUnreachable) -> None:
        """Let the server be away for a while. Raises: the exception."""
        if isinstance(exc, ServerProblem) and exc.status not in _PASSING:
            if exc.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                self._tell_lost()
            raise exc
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if now > self._lost_at + RECONNECT_FOR_S:
            raise exc

    def _changed(self) -> TestbedError:
        self._end(self._key)
        self._tell_lost()
        return TestbedError(
            f"{self.sending.path} was changed while it was sent.",
            hint="The server's copy is as it was. Do it again when the file is whole.",
        )


@dataclass(frozen=True, slots=True)
class _Part:
    """So many bytes of a file, read as they are sent, and anew when sent again."""

    file: Path
    begin: int
    count: int

    def __iter__(self) -> Iterator[bytes]:
        """Yield the pieces. Raises: EOFError (the file is shorter by now)."""
        left = self.count
        with self.file.open("rb") as file:
            file.seek(self.begin)
            while left:
                piece = file.read(min(PIECE_BYTES, left))
                if not piece:
                    raise EOFError(self.file)
                left -= len(piece)
                yield piece


def _is_gone(exc: ServerProblem | ServerUnreachable) -> bool:
    return isinstance(exc, ServerProblem) and exc.status in _GONE
