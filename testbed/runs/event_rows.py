"""Turns the engine's reports into rows of `Event`, and inserts them fast.

`recorder` decides when and in which transaction. The run's row counts what its log takes. Rows are inserted past the ORM:
building and saving model objects took most of a worker's processor in a flood.
Text is made fit for any database here and escaped when it is displayed.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import NamedTuple

from django.db import connection

from orchestration import events as engine
from orchestration.amounts import size
from orchestration.instructions.bounded_log import LINE_BYTES
from testbed.models import Event, Run, Task

# A longer line becomes several rows, so that a page of rows has a bounded size.
PIECE_CHARACTERS = 4096
# Only the end of an error's evidence is kept.
DETAIL_CHARACTERS = 8000
_NO_TEXT = re.compile("[\ud800-\udfff]")
_NO_DATA = "{}"
_OUTPUT = (engine.Stream.STDOUT.value, engine.Stream.STDERR.value)
_CONTINUES = json.dumps({"continues": True})
_INSERT = (
    "INSERT INTO testbed_event"
    ' (run_id, seq, at, kind, "index", resource, host, stream, text, data)'
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]
TaskChange = dict[str, Json]


class Row(NamedTuple):
    """An event without its number; `data` is JSON text."""

    at: datetime
    kind: str
    instruction: int
    resource: str
    host: str
    stream: str
    text: str
    data: str


def insert(run_id: int, rows: Sequence[Row], *, limit_bytes: int | None = None) -> int:
    """Give rows the run's next numbers and insert them; return the last number.

    From the first output above `limit_bytes` of the whole log on, all output is left
    out, and a line says so. Inside a transaction of the caller: the run's row stays
    locked until its commit, so that numbers have no gaps and follow the commit order.
    Raises: Run.DoesNotExist.
    """
    runs = Run.objects.filter(pk=run_id)
    locked = runs.select_for_update().order_by()
    first, used, is_cut = locked.values_list(
        "last_seq", "log_bytes", "log_is_cut"
    ).get()
    is_above = limit_bytes is not None and used + bytes_of(rows) > limit_bytes
    kept = _without_output(rows) if is_cut or is_above else rows
    if len(kept) < len(rows) and not is_cut:
        is_cut, kept = True, [*kept, _full(rows[-1], limit_bytes or 0)]
    last, taken = first + len(kept), used + bytes_of(kept)
    runs.update(last_seq=last, log_bytes=taken, log_is_cut=is_cut)
    adapt = connection.ops.adapt_datetimefield_value
    numbered = [
        (run_id, seq, adapt(row[0]), *row[1:])
        for seq, row in enumerate(kept, start=first + 1)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, numbered)
    return last


def _without_output(rows: Sequence[Row]) -> Sequence[Row]:
    return [row for row in rows if row.stream not in _OUTPUT]


def _full(last: Row, limit: int) -> Row:
    text = (
        f"Cut here: the log of this run is full ({size(limit)}). The work goes on; "
        "further output is not kept."
    )
    return fact_row(
        Event.Kind.LOG, at=last.at, index=last.instruction, text=text, data={}
    )


def bytes_of(rows: Iterable[Row]) -> int:
    """Return about what rows take in the database."""
    return sum(len(row.text) + len(row.data) + LINE_BYTES for row in rows)


def rows_of(event: engine.Event, *, at: datetime) -> list[Row]:
    """Return the rows of an event; a long line is several, marked as continuing."""
    place = (event.index, clean(event.resource)[:120], clean(event.host)[:40])
    match event:
        case engine.LogLine():
            stream, text = event.stream.value, clean(event.text)
            starts = range(0, max(len(text), 1), PIECE_CHARACTERS)
            return [
                Row(
                    at,
                    Event.Kind.LOG.value,
                    *place,
                    stream,
                    text[start : start + PIECE_CHARACTERS],
                    _CONTINUES if start else _NO_DATA,
                )
                for start in starts
            ]
        case engine.TaskStarted():
            return [Row(at, Event.Kind.TASK_STARTED.value, *place, "", "", _NO_DATA)]
        case engine.TaskProgressed():
            data = json.dumps(task_change(event))
            return [Row(at, Event.Kind.TASK_PROGRESSED.value, *place, "", "", data)]
        case engine.TaskFinished():
            data = json.dumps(task_change(event))
            return [Row(at, Event.Kind.TASK_FINISHED.value, *place, "", "", data)]


def fact_row(
    kind: Event.Kind, *, at: datetime, index: int, text: str, data: dict[str, Json]
) -> Row:
    """Return the row of a fact that concerns no single resource."""
    stream = engine.Stream.INFO.value if kind is Event.Kind.LOG else ""
    shown = json.dumps(_cleaned(data))
    return Row(at, kind.value, index, "", "", stream, clean(text), shown)


def task_change(event: engine.Event) -> TaskChange:
    """Return an event's changes to its task's row; nothing for a log line."""
    match event:
        case engine.TaskStarted():
            return {"status": Task.Status.RUNNING.value}
        case engine.TaskProgressed():
            return {
                "done": event.done,
                "total": event.total,
                "unit": event.unit[:12],
                "note": clean(event.note)[:200],
                "rate": event.rate,
                "left_s": event.left_s,
            }
        case engine.TaskFinished():
            return {
                "status": event.status.value,
                "message": clean(event.message),
                "hint": clean(event.hint),
                "detail": _end_of(clean(event.detail)),
                "seconds": event.seconds,
                "answer": asdict(event.answer) if event.answer else None,
                "found": _cleaned(asdict(event.found)) if event.found else None,
            }
    return {}


def clean(text: str) -> str:
    """Replace, visibly, characters that no database stores: NUL and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "\N{SYMBOL FOR NULL}")
    return text if text.isascii() else _NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text)


def _end_of(text: str) -> str:
    cut = len(text) - DETAIL_CHARACTERS
    return text if cut <= 0 else f"… {cut} characters before this …\n{text[cut:]}"


def _cleaned(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(entry) for key, entry in value.items()}
    if isinstance(value, Iterable):
        return [_cleaned(entry) for entry in value]
    return value
