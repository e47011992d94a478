"""The stream of one transfer: a file's data, read, hashed and compressed ahead.

`sender.py` passes the stream to the command that receives it. All of it happens on a
thread beside the one that encrypts and sends; a short queue between them bounds the
memory. Data that the receiver already has is read for the digest and not sent.
"""

import hashlib
import os
import queue
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import zstandard

from orchestration.providers.transfer.layout import Layout
from orchestration.transport.base import OnProgress, Scope
from orchestration.transport.files.copying import Extent

READ_BYTES = 1024 * 1024
AHEAD = 8
LEVEL = 1
_WAIT_S = 0.1

_Piece = tuple[int, bytes]


class Stream:
    """The data sent from `offset` on; a context, whose end also ends its thread.

    `digest` is right when everything was read and the context was left.
    """

    def __init__(
        self,
        descriptor: int,
        layout: Layout,
        offset: int,
        *,
        compressed: bool,
    ) -> None:
        self._descriptor = descriptor
        self._layout = layout
        self._offset = offset
        self._is_compressed = compressed
        self._packer = zstandard.ZstdCompressor(level=LEVEL)
        self._hash = hashlib.blake2b()
        self._queue: queue.Queue[_Piece | Exception | None] = queue.Queue(AHEAD)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read_all, name="read-ahead")
        self.wire_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def digest(self) -> str:
        """The BLAKE2b of all of the file's data, in hex."""
        return self._hash.hexdigest()

    def pieces(self, scope: Scope, on_progress: OnProgress) -> Iterator[bytes]:
        """Yield the bytes to send; progress counts the file's data.

        Raises: Cancelled, the errors of reading.
        """
        done, total = self._offset, self._layout.data_bytes
        on_progress(done, total)
        while (piece := self._next(scope)) is not None:
            if isinstance(piece, Exception):
                raise piece
            taken, data = piece
            yield data
            self.wire_bytes += len(data)
            done += taken
            on_progress(done, total)

    def _next(self, scope: Scope) -> _Piece | Exception | None:
        while True:
            try:
                return self._queue.get(timeout=_WAIT_S)
            except queue.Empty:
                scope.check_cancelled()

    def _read_all(self) -> None:
        try:
            self._read()
        except Exception as exc:  # noqa: BLE001 - raised again by the reader
            self._give(exc)
        else:
            self._give(None)

    def _read(self) -> None:
        left = self._offset
        for start, end in self._layout.extents:
            for data in self._chunks((start, end)):
                self._hash.update(data)
                known = min(left, len(data))
                left -= known
                if known < len(data):
                    self._give(self._packed(data[known:]))

    def _chunks(self, extent: Extent) -> Iterator[bytes]:
        position, end = extent
        while position < end and not self._is_over.is_set():
            count = min(READ_BYTES, end - position)
            data = os.pread(self._descriptor, count, position)
            if not data:
                raise EOFError("the file became shorter while it was read")
            position += len(data)
            yield data

    def _packed(self, data: bytes) -> _Piece:
        """Make a frame of its own of each piece that is compressed."""
        sent = self._packer.compress(data) if self._is_compressed else data
        return len(data), sent

    def _give(self, piece: _Piece | Exception | None) -> None:
        while not self._is_over.is_set():
            try:
                self._queue.put(piece, timeout=_WAIT_S)
                return
            except queue.Full:
                continue
