"""Stores a run's reports as numbered rows; the one writer of events and task progress.

The engine's threads put events into a `Recorder`; its writer thread stores them in
batches and keeps the `Task` rows up to date. `record` and `finish_tasks` store single
facts inside the caller's transaction. After each commit the doorbell rings. A dying
process loses the events that it took in the last FLUSH_S and those being stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from django.db import InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.db.models import F
from django.utils import timezone

from orchestration import events as engine
from testbed.models import Event, Run, Task
from testbed.runs.doorbell import ring
from testbed.runs.event_rows import (
    Json,
    TaskChange,
    fact_row,
    insert,
    rows_of,
    task_change,
)

logger = logging.getLogger(__name__)

FLUSH_S = 0.1
# A batch is stored when it is this old or has this many events, and never has more
# than BATCH_EVENTS: other writers wait for it.
FLUSH_EVENTS = 1000
BATCH_EVENTS = 4000
# A full recorder makes its writers wait: a slow database costs time and not memory.
FULL_EVENTS = 20_000
FULL_CHARACTERS = 8 * 1024 * 1024
RETRY_S = 0.2
GIVE_UP_S = 60.0

Stamped = tuple[datetime, engine.Event]
TaskKey = tuple[int, str, str]


class Recorder:
    """Stores one run's events; `sink` may be called from any thread until `close`.

    `may_write` is asked inside each writing transaction, when the run's row is locked.
    Output above `limit_bytes` of the run's whole log is left out.
    """

    def __init__(
        self,
        run_id: int,
        *,
        may_write: Callable[[], bool] = lambda: True,
        limit_bytes: int | None = None,
        batch_events: int = BATCH_EVENTS,
        full_characters: int = FULL_CHARACTERS,
    ) -> None:
        self._run_id = run_id
        self._may_write = may_write
        self._limit_bytes = limit_bytes
        self._batch_events = batch_events
        self._full_characters = full_characters
        self._changed = threading.Condition()
        self._taken: list[Stamped] = []
        self._characters = 0
        self._closing_at: float | None = None
        self._task_ids: dict[TaskKey, int] = {}
        self._writer = threading.Thread(target=self._write, name="recorder")
        self._writer.start()

    def sink(self, event: engine.Event) -> None:
        """Take an event; waits only while the recorder is full."""
        with self._changed:
            while self._is_full():
                self._changed.wait()
            self._taken.append((timezone.now(), event))
            self._characters += _characters(event)
            if len(self._taken) in (1, FLUSH_EVENTS) or self._is_full():
                self._changed.notify_all()

    def close(self) -> None:
        """Store everything that was taken, ring, and end the writer."""
        with self._changed:
            self._closing_at = time.monotonic()
            self._changed.notify_all()
        self._writer.join()

    def _is_due(self) -> bool:
        is_large = len(self._taken) >= FLUSH_EVENTS or self._is_full()
        return is_large or self._closing_at is not None

    def _is_full(self) -> bool:
        is_long = self._characters >= self._full_characters
        return is_long or len(self._taken) >= FULL_EVENTS

    def _write(self) -> None:
        try:
            while batch := self._next_batch():
                if seq := self._store(_without_old_progress(batch)):
                    ring(self._run_id, seq, is_output=_is_output(batch))
        finally:
            database.close()

    def _next_batch(self) -> list[Stamped]:
        """Collect a batch; an empty one means that the recorder is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken or self._closing_at)
            self._changed.wait_for(self._is_due, FLUSH_S)
            batch = self._taken[: self._batch_events]
            self._taken = self._taken[self._batch_events :]
            self._characters = sum(_characters(event) for _, event in self._taken)
            self._changed.notify_all()
        return batch

    def _store(self, batch: list[Stamped]) -> int:
        """Store until it works; only a closing recorder gives up, with a log entry."""
        while True:
            try:
                return self._try_to_store(batch)
            except (OperationalError, InterfaceError) as exc:
                database.close()
                if self._closing_at and time.monotonic() - self._closing_at > GIVE_UP_S:
                    logger.exception("%s events are lost", len(batch))
                    return 0
                logger.warning("events have to wait for the database: %s", exc)
                time.sleep(RETRY_S)
            except Run.DoesNotExist:
                logger.exception("%s events cannot be stored", len(batch))
                return 0
            except Exception:  # the thread's border: callers of `sink` would hang
                if len(batch) == 1:
                    logger.exception("an event cannot be stored: %r", batch[0])
                    return 0
                # An event that cannot be stored does not take the others with it.
                half = len(batch) // 2
                return max(self._store(batch[:half]), self._store(batch[half:]))

    def _try_to_store(self, batch: list[Stamped]) -> int:
        rows = [row for at, event in batch for row in rows_of(event, at=at)]
        with transaction.atomic():
            seq = insert(self._run_id, rows, limit_bytes=self._limit_bytes)
            self._change_tasks(batch)
            self._count_answers(batch)
            if not self._may_write():
                transaction.set_rollback(True)
                logger.warning("%s events of a lost batch are not stored", len(batch))
                return 0
        return seq

    def _change_tasks(self, batch: list[Stamped]) -> None:
        changes: dict[TaskKey, TaskChange] = {}
        for _, event in batch:
            if not isinstance(event, engine.LogLine):
                changes.setdefault(_key(event), {}).update(task_change(event))
        for key, change in changes.items():
            if task_id := self._task_id(key):
                Task.objects.filter(pk=task_id).update(**change)

    def _count_answers(self, batch: list[Stamped]) -> None:
        """Let the files of answers count as a part of the log."""
        ends = (event for _, event in batch if isinstance(event, engine.TaskFinished))
        if taken := sum(end.answer.size_bytes for end in ends if end.answer):
            runs = Run.objects.filter(pk=self._run_id)
            runs.update(log_bytes=F("log_bytes") + taken)

    def _task_id(self, key: TaskKey) -> int | None:
        if key not in self._task_ids:
            # Of its host only: a batch has one, and a large instruction many others.
            index, _, host = key
            rows = Task.objects.filter(
                instruction__run=self._run_id, instruction__index=index, host=host
            ).values_list("pk", "resource")
            self._task_ids.update({(index, r, host): pk for pk, r in rows})
        return self._task_ids.get(key)


def record(
    run_id: int, kind: Event.Kind, *, index: int = -1, text: str = "", **data: Json
) -> None:
    """Store one fact about a run, inside the caller's transaction if there is one.

    A fact of kind `log` comes from the engine and is shown as a line of the log.
    """
    row = fact_row(kind, at=timezone.now(), index=index, text=text, data=data)
    with transaction.atomic():
        seq = insert(run_id, [row])
        is_output = kind == Event.Kind.LOG
        transaction.on_commit(partial(ring, run_id, seq, is_output=is_output))


def finish_tasks(
    run_id: int,
    tasks: Iterable[Task],
    status: engine.Status,
    *,
    message: str,
    hint: str = "",
    detail: str = "",
) -> None:
    """End tasks that no worker will end, rows and events alike."""
    now = timezone.now()
    ends = {
        task.pk: engine.TaskFinished(
            task.instruction.index,
            task.resource,
            task.host,
            status,
            message,
            hint,
            detail,
        )
        for task in tasks
    }
    rows = [row for end in ends.values() for row in rows_of(end, at=now)]
    with transaction.atomic():
        for pk, end in ends.items():
            Task.objects.filter(pk=pk).update(**task_change(end))
        if rows:
            seq = insert(run_id, rows)
            transaction.on_commit(partial(ring, run_id, seq))


def _without_old_progress(batch: list[Stamped]) -> list[Stamped]:
    """Keep only the newest progress of each task: the older was never seen."""
    seen: set[TaskKey] = set()
    kept: list[Stamped] = []
    for at, event in reversed(batch):
        if isinstance(event, engine.TaskProgressed):
            if _key(event) in seen:
                continue
            seen.add(_key(event))
        kept.append((at, event))
    return kept[::-1]


def _is_output(batch: list[Stamped]) -> bool:
    return all(isinstance(event, engine.LogLine) for _, event in batch)


def _key(event: engine.Event) -> TaskKey:
    return event.index, event.resource, event.host


def _characters(event: engine.Event) -> int:
    return len(event.text) if isinstance(event, engine.LogLine) else 0
