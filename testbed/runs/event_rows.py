"""Turns the engine's reports into rows of `Event`, and inserts them fast.

`recorder` decides when and in which transaction. Rows are inserted past the ORM:
building and saving model objects took most of a worker's processor in a flood.
Text is made fit for any database here and escaped when it is displayed.
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.db.models import F

from orchestration import events as engine
from testbed.models import Event, Run, Task

# A longer line becomes several rows, so that a page of rows has a bounded size.
PIECE_CHARACTERS = 4096
# Only the end of an error's evidence is kept.
DETAIL_CHARACTERS = 8000
_NO_TEXT = re.compile("[\ud800-\udfff]")
_NO_DATA = "{}"
_CONTINUES = json.dumps({"continues": True})
_INSERT = (
    "INSERT INTO testbed_event"
    ' (run_id, seq, at, kind, "index", resource, host, stream, text, data)'
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)

Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]
TaskChange = dict[str, str | int | float | None]


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


def insert(run_id: int, rows: Sequence[Row]) -> int:
    """Give rows the run's next numbers and insert them; return the last number.

    Inside a transaction of the caller: the run's row stays locked until its commit, so
    that numbers have no gaps and follow the commit order. Raises: Run.DoesNotExist.
    """
    count = len(rows)
    if not Run.objects.filter(pk=run_id).update(last_seq=F("last_seq") + count):
        raise Run.DoesNotExist(f"run {run_id} is gone")
    last = Run.objects.values_list("last_seq", flat=True).get(pk=run_id)
    adapt = connection.ops.adapt_datetimefield_value
    numbered = [
        (run_id, seq, adapt(row[0]), *row[1:])
        for seq, row in enumerate(rows, start=last - count + 1)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_INSERT, numbered)
    return last


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
