"""What a run reports, as numbered rows; the one writer of `Event` and of task progress.

The engine's threads put events into a `Recorder`; its writer thread stores them in
batches and keeps the `Task` rows up to date. `record` and `finish_tasks` are for the
single facts that services and tasks write inside their own transactions. After each
commit the doorbell rings: it carries a number, never text, and may get lost.
Numbering locks the run's row until commit, so commit order is number order.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import DatabaseError, InterfaceError, OperationalError, transaction
from django.db import connection as database
from django.db.models import F
from django.utils import timezone
from redis.exceptions import RedisError

from orchestration import events as engine
from testbed.models import Event, Run, Task

logger = logging.getLogger(__name__)

FLUSH_S = 0.1
FLUSH_ROWS = 500
# A full queue makes talkers wait, so that a slow database costs time and not memory.
QUEUE_EVENTS = 20_000
RING_S = 0.05
RETRY_S = 0.2
GIVE_UP_S = 60.0
PIECE_CHARACTERS = 64 * 1024

Json = None | bool | int | float | str | Sequence["Json"] | dict[str, "Json"]
Stamped = tuple[datetime, engine.Event]
TaskKey = tuple[int, str, str]
TaskChange = dict[str, str | int | float]


class Recorder:
    """Store one run's events; `sink` may be called from any thread until `close`."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._queue: queue.Queue[Stamped | None] = queue.Queue(QUEUE_EVENTS)
        self._task_ids: dict[TaskKey, int] = {}
        self._rung_at = 0.0
        self._unrung_seq = 0
        self._closing_at = 0.0
        self._writer = threading.Thread(target=self._write, name="recorder")
        self._writer.start()

    def sink(self, event: engine.Event) -> None:
        """Take an event; waits only while the queue is full."""
        self._queue.put((timezone.now(), event))

    def close(self) -> None:
        """Store everything that was taken, ring, and end the writer."""
        self._closing_at = time.monotonic()
        self._queue.put(None)
        self._writer.join()

    def _write(self) -> None:
        try:
            while self._store_next():
                pass
        finally:
            database.close()

    def _store_next(self) -> bool:
        """Gather and store one batch; False when it was the last."""
        batch: list[Stamped] = []
        deadline: float | None = None
        while len(batch) < FLUSH_ROWS:
            left = None if deadline is None else deadline - time.monotonic()
            try:
                item = self._queue.get(timeout=left if left is None else max(left, 0))
            except queue.Empty:
                break
            if item is None:
                self._flush(batch, is_last=True)
                return False
            batch.append(item)
            deadline = deadline or time.monotonic() + FLUSH_S
        self._flush(batch, is_last=False)
        return True

    def _flush(self, batch: list[Stamped], *, is_last: bool) -> None:
        if batch:
            self._unrung_seq = self._store(batch) or self._unrung_seq
        now = time.monotonic()
        is_quiet = self._queue.empty() or now - self._rung_at > RING_S
        if self._unrung_seq and (is_last or is_quiet):
            self._rung_at = now
            ring(self._run_id, self._unrung_seq)
            self._unrung_seq = 0

    def _store(self, batch: list[Stamped]) -> int:
        """Store until it works; only a closing recorder gives up, and says so."""
        kept = _without_old_progress(batch)
        while True:
            try:
                with transaction.atomic():
                    rows = [row for at, event in kept for row in _rows(event, at=at)]
                    seq = _number(self._run_id, rows)
                    self._change_tasks(kept)
                return seq
            except (OperationalError, InterfaceError) as exc:
                database.close()
                if self._closing_at and time.monotonic() - self._closing_at > GIVE_UP_S:
                    logger.exception("%s events are lost", len(kept))
                    return 0
                logger.warning("events have to wait for the database: %s", exc)
                time.sleep(RETRY_S)
            except (DatabaseError, Run.DoesNotExist):
                logger.exception("%s events cannot be stored", len(kept))
                return 0

    def _change_tasks(self, batch: list[Stamped]) -> None:
        changes: dict[TaskKey, TaskChange] = {}
        for _, event in batch:
            if change := _task_change(event):
                key = (event.index, event.resource, event.host)
                changes.setdefault(key, {}).update(change)
        for key, change in changes.items():
            if task_id := self._task_id(key):
                Task.objects.filter(pk=task_id).update(**change)

    def _task_id(self, key: TaskKey) -> int | None:
        if key not in self._task_ids:
            rows = Task.objects.filter(
                instruction__run=self._run_id, instruction__index=key[0]
            ).values_list("pk", "resource", "host")
            self._task_ids.update({(key[0], r, h): pk for pk, r, h in rows})
        return self._task_ids.get(key)


def record(
    run_id: int, kind: str, *, index: int = -1, text: str = "", **data: Json
) -> None:
    """Store one fact about a run, inside the caller's transaction if there is one.

    A fact of kind `log` is the engine's own voice and shown as a line of the log.
    """
    stream = engine.Stream.INFO.value if kind == "log" else ""
    row = Event(kind=kind, index=index, stream=stream, text=clean(text))
    row.at = timezone.now()
    row.data = {name: _clean_json(value) for name, value in data.items()}
    with transaction.atomic():
        seq = _number(run_id, [row])
        transaction.on_commit(partial(ring, run_id, seq))


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
    tasks = list(tasks)
    now = timezone.now()
    with transaction.atomic():
        Task.objects.filter(pk__in=[task.pk for task in tasks]).update(
            status=status, message=message, hint=hint, detail=detail
        )
        ends = (
            engine.TaskFinished(
                task.instruction.index,
                task.resource,
                task.host,
                status,
                message,
                hint,
                detail,
            )
            for task in tasks
        )
        rows = [row for end in ends for row in _rows(end, at=now)]
        if rows:
            seq = _number(run_id, rows)
            transaction.on_commit(partial(ring, run_id, seq))


def group_name(run_id: int) -> str:
    """Return the channel layer group that hears a run's doorbell."""
    return f"run.{run_id}"


def ring(run_id: int, seq: int) -> None:
    """Tell the listeners that there is news up to `seq`; never fails."""
    layer = get_channel_layer()
    if layer is None:
        return
    message = {"type": "news", "seq": seq}
    try:
        async_to_sync(layer.group_send)(group_name(run_id), message)
    except (OSError, RedisError, RuntimeError) as exc:
        logger.warning("the doorbell of run %s did not ring: %s", run_id, exc)


def clean(text: str) -> str:
    """Remove what no database stores: NUL characters and lone surrogates."""
    if "\0" in text:
        text = text.replace("\0", "")
    return text if text.isascii() else text.encode(errors="ignore").decode()


def _clean_json(value: Json) -> Json:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _clean_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_json(entry) for entry in value]
    return value


def _number(run_id: int, rows: list[Event]) -> int:
    """Give rows the run's next numbers and insert them; return the last number."""
    count = len(rows)
    if not Run.objects.filter(pk=run_id).update(last_seq=F("last_seq") + count):
        raise Run.DoesNotExist(f"run {run_id} is gone")
    last = Run.objects.values_list("last_seq", flat=True).get(pk=run_id)
    for seq, row in enumerate(rows, start=last - count + 1):
        row.run_id, row.seq = run_id, seq
    Event.objects.bulk_create(rows)
    return last


def _rows(event: engine.Event, *, at: datetime) -> list[Event]:
    place = {
        "at": at,
        "index": event.index,
        "resource": clean(event.resource)[:120],
        "host": clean(event.host)[:40],
    }
    match event:
        case engine.LogLine():
            kind, stream = "log", event.stream.value
            return [
                Event(**place, kind=kind, stream=stream, text=piece)
                for piece in _pieces(clean(event.text))
            ]
        case engine.TaskStarted():
            return [Event(**place, kind="task-started")]
        case engine.TaskProgressed():
            change = _task_change(event)
            return [Event(**place, kind="task-progressed", data=change)]
        case engine.TaskFinished():
            change = _task_change(event)
            return [Event(**place, kind="task-finished", data=change)]


def _task_change(event: engine.Event) -> TaskChange:
    match event:
        case engine.TaskStarted():
            return {"status": Task.Status.RUNNING.value}
        case engine.TaskProgressed():
            return {
                "done": event.done,
                "total": event.total,
                "unit": event.unit[:12],
                "note": clean(event.note)[:200],
            }
        case engine.TaskFinished():
            return {
                "status": event.status.value,
                "message": clean(event.message),
                "hint": clean(event.hint),
                "detail": clean(event.detail),
                "seconds": event.seconds,
            }
    return {}


def _pieces(text: str) -> list[str]:
    starts = range(0, max(len(text), 1), PIECE_CHARACTERS)
    return [text[start : start + PIECE_CHARACTERS] for start in starts]


def _without_old_progress(batch: list[Stamped]) -> list[Stamped]:
    """Keep only the newest progress of each task: the older was never seen."""
    seen: set[TaskKey] = set()
    kept: list[Stamped] = []
    for at, event in reversed(batch):
        if isinstance(event, engine.TaskProgressed):
            key = (event.index, event.resource, event.host)
            if key in seen:
                continue
            seen.add(key)
        kept.append((at, event))
    return kept[::-1]
