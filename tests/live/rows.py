"""The product's rows, read past it: straight from its database, without a process.

For tests that look many times a second. Reads only; needs the stack's SQLite.
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.live.stack import Stack


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch that a worker has: who, and until when."""

    number: int
    run: int
    worker: str
    lease_until: datetime


def rows(stack: Stack, query: str, *values: object) -> list[tuple[object, ...]]:
    """Return what a query finds."""
    place = f"file:{stack.data}/db.sqlite3?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=60)) as database:
        return database.execute(query, values).fetchall()


def running_batches(stack: Stack) -> list[BatchRow]:
    """Return the batches that are said to run."""
    found = rows(
        stack,
        "SELECT b.id, i.run_id, b.worker, b.lease_until FROM testbed_batch b"
        " JOIN testbed_instruction i ON i.id = b.instruction_id"
        " WHERE b.status = 'running'",
    )
    return [
        BatchRow(number, run, worker, _time(lease))
        for number, run, worker, lease in found
    ]


def run_status(stack: Stack, number: int) -> str:
    """Return how a run is."""
    ((status,),) = rows(stack, "SELECT status FROM testbed_run WHERE id = ?", number)
    return str(status)


def _time(text: object) -> datetime:
    return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
