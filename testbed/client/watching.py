"""Watches a run on its websocket to its end, however often the connection breaks.

Sends the plan's instructions one by one, as docs/protocol.md asks of a client, and reads
every event once: after a broken connection it asks for those after the last one that it
saw.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidStatus,
)
from websockets.frames import CloseCode

if TYPE_CHECKING:  # it takes time to import
    from websockets.sync.client import ClientConnection

Frame = dict[str, Any]
OnFrame = Callable[[Frame], None]
Connect = Callable[[], AbstractContextManager["ClientConnection"]]
# Statuses of runs that are over; the others go on, or wait.
OVER = ("succeeded", "failed", "cancelled", "interrupted")
RECONNECT_FOR_S = 120.0
RECONNECT_EVERY_S = 0.5
# Close codes from here on are the server's refusals, not accidents.
REFUSALS = 4400
REFUSED_STATUSES = (401, 403, 404)


def watch(
    connect: Connect,
    number: int,
    on_frame: OnFrame,
    waiting: list[Frame],
    *,
    after: int = 0,
    patience_s: float = RECONNECT_FOR_S,
    on_lost: Callable[[], None] = lambda: None,
) -> str:
    """Show a run's frames to its end; return its status.

    `waiting` are the instructions to send; after a broken connection the server sends
    the rest. Raises: OSError, WebSocketException after `patience_s` without one, or at
    once where the server refuses or sends a frame that is too long.
    """
    seen = after
    lost_at = 0.0

    def show(frame: Frame) -> None:
        nonlocal seen, lost_at
        seen = frame.get("seq", seen)
        lost_at = 0.0
        on_frame(frame)

    while True:
        try:
            with connect() as socket:
                return _watched(socket, number, show, waiting, after=seen)
        except (OSError, InvalidHandshake, ConnectionClosedError) as exc:
            if is_lasting(exc):
                raise
            if not lost_at:
                lost_at = time.monotonic()
                on_lost()
            if time.monotonic() > lost_at + patience_s:
                raise
        waiting = []
        time.sleep(RECONNECT_EVERY_S)


def frames(socket: "ClientConnection") -> Iterator[Frame]:
    """Yield the frames as they come, until the server closes."""
    for text in socket:
        yield json.loads(text)


def send(socket: "ClientConnection", frame: Frame) -> None:
    """Send one frame."""
    socket.send(json.dumps(frame))


def name_of(frame: Frame) -> str:
    """Return what an event or a line is of; earlier servers know the resource alone."""
    return str(frame.get("name") or frame["resource"])


def is_lasting(exc: Exception) -> bool:
    """Return whether a websocket would end so again: the server refuses it, or its
    frames are too long.
    """
    if isinstance(exc, InvalidStatus):
        return exc.response.status_code in REFUSED_STATUSES
    if not isinstance(exc, ConnectionClosedError):
        return False
    # websockets answers a close with the same code: that is no word of its own.
    own = exc.sent if not exc.rcvd_then_sent else None
    if own and own.code == CloseCode.MESSAGE_TOO_BIG:
        return True
    return exc.rcvd is not None and exc.rcvd.code >= REFUSALS


def _watched(
    socket: "ClientConnection",
    number: int,
    on_frame: OnFrame,
    waiting: list[Frame],
    *,
    after: int,
) -> str:
    """Send waiting frames, one after each result, and read one connection to its end.

    Raises: ConnectionResetError when it ended before the run. websockets drops received
    frames when its answer to the server's close finds the connection gone.
    """
    _offer(socket, {"type": "subscribe", "after": after})
    _send_next(socket, waiting)
    for frame in frames(socket):
        on_frame(frame)
        if frame["type"] == "run":
            return str(frame["status"])
        if frame["type"] == "result":
            _send_next(socket, waiting)
    raise ConnectionResetError(f"The connection to run {number} was closed too early.")


def _send_next(socket: "ClientConnection", waiting: list[Frame]) -> None:
    if waiting:
        entry = waiting.pop(0)
        frame = {"type": "instruction", "index": entry["index"], "kind": entry["kind"]}
        _offer(socket, frame)


def _offer(socket: "ClientConnection", frame: Frame) -> None:
    """Send a frame unless the server closed; reading the rest will then show that."""
    with suppress(ConnectionClosed):
        send(socket, frame)
