"""The frames of the orchestration protocol, in both directions, as values.

`read_frame` turns a client's text into a model or refuses it with a sentence; the
`_frame` functions build the server's frames. The table of frames is in
docs/protocol.md. No I/O here; `consumer` sends and receives.
"""

import json
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from testbed.models import Event, Run
from testbed.runs.event_rows import Json

# Of a client's frame.
MAX_FRAME_BYTES = 64 * 1024
MAX_SENT_BYTES = 1024 * 1024
Frame = dict[str, Json]


class BadFrame(ValueError):
    """The error in a client's frame, in words for the client."""


class _Incoming(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class InstructionFrame(_Incoming):
    """Start this instruction; it must be the next one."""

    type: Literal["instruction"]
    index: Annotated[int, Field(ge=0, le=1_000_000)]
    kind: Annotated[str, Field(max_length=64)]


class CancelFrame(_Incoming):
    """Stop the run."""

    type: Literal["cancel"]


class WantedLog(_Incoming):
    """The part of the log that a client wants; empty means all."""

    resource: Annotated[str, Field(max_length=120)] = ""
    host: Annotated[str, Field(max_length=40)] = ""


class SubscribeFrame(_Incoming):
    """Send everything after event `after`, then follow; of the log only `log`."""

    type: Literal["subscribe"]
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    log: WantedLog = WantedLog()


class DetachFrame(_Incoming):
    """Continue the run without this client."""

    type: Literal["detach"]


class PingFrame(_Incoming):
    """Confirm the connection; for clients that cannot send websocket pings."""

    type: Literal["ping"]


Incoming = InstructionFrame | CancelFrame | SubscribeFrame | DetachFrame | PingFrame
_ADAPTER: TypeAdapter[Incoming] = TypeAdapter(
    Annotated[Incoming, Field(discriminator="type")]
)


def read_frame(text: str) -> Incoming:
    """Read a client's frame. Raises: BadFrame."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadFrame(f"{place}: {first['msg']}" if place else first["msg"]) from exc


def ack_frame(index: int, *, valid: bool, message: str) -> Frame:
    """Build the answer to an instruction."""
    return {"type": "ack", "index": index, "valid": valid, "message": message}


def error_frame(message: str) -> Frame:
    """Build the answer to a frame that was not understood or not executed."""
    return {"type": "error", "message": message}


def frame_of(event: Event, run: Run) -> Frame:
    """Build a client's view of an event: an event, a result or the run's end."""
    if event.kind == Event.Kind.RESULT:
        return {
            "type": "result",
            "seq": event.seq,
            "index": event.index,
            **_data(event, "success", "message"),
            "resources": [
                {**entry, "name": run.named(entry["name"])}
                for entry in event.data["resources"]
            ],
        }
    if event.kind == Event.Kind.RUN:
        words = _data(event, "status", "message", "hint")
        return {"type": "run", "seq": event.seq, **words}
    is_line = event.kind == Event.Kind.LOG
    return {
        "type": "event",
        "seq": event.seq,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "index": event.index,
        "resource": event.resource,
        "name": run.named(event.resource) if event.resource or is_line else "",
        "host": event.host,
        "stream": event.stream,
        "text": event.text,
        "data": event.data,
    }


def run_frame(run: Run) -> Frame:
    """Build the run's end for a client that has seen its event before."""
    return {
        "type": "run",
        "seq": run.last_seq,
        "status": run.status,
        "message": run.message,
        "hint": run.hint,
    }


def skipped_frame(seq: int) -> Frame:
    """Build the notice that log lines up to an event were left out."""
    return {"type": "skipped", "seq": seq}


def pack(frames: list[Frame]) -> list[Frame]:
    """Put neighbouring events into one frame each; results stay where they are."""
    packed: list[Frame] = []
    events: list[Json] = []
    for frame in frames:
        if frame["type"] == "event":
            if not events:
                packed.append({"type": "events", "events": events})
            events.append(frame)
        else:
            events = []
            packed.append(frame)
    return packed


def texts_of(frame: Frame) -> Iterator[str]:
    """Yield a frame as JSON, in as many texts as servers ask for (Daphne: 1 MiB each).

    Packed events are spread; an event that is too large alone is sent without its HTML,
    which the page then requests.
    """
    text = json.dumps(frame, ensure_ascii=False)
    if 4 * len(text) <= MAX_SENT_BYTES or len(text.encode()) <= MAX_SENT_BYTES:
        yield text
        return
    events = frame.get("events")
    if isinstance(events, list) and len(events) > 1:
        half = len(events) // 2
        yield from texts_of({**frame, "events": events[:half]})
        yield from texts_of({**frame, "events": events[half:]})
        return
    for large in events if isinstance(events, list) else [frame]:
        yield json.dumps({**large, "html": ""}, ensure_ascii=False)


def _data(event: Event, *names: str) -> Frame:
    return {name: event.data.get(name) for name in names}
