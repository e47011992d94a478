"""The log of a run, read from its events: the last lines, earlier ones, all as text.

`views.logs` and the run page show it, the websocket follows it with `newest`. Rows are
read by the number of the event, so that a page costs the same at the end of a long
log as at its start; nothing here holds more than one page of rows.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import QuerySet

from orchestration.amounts import count_of
from orchestration.terminal import plain
from testbed.models import Event, Run
from testbed.runs.event_rows import clean

LOG_LINES = 400
TEXT_LINES = 1000


@dataclass(frozen=True, slots=True)
class LogFilter:
    """The limits of a log; empty means all."""

    resource: str = ""
    host: str = ""

    def __bool__(self) -> bool:
        return bool(self.resource or self.host)

    @property
    def words(self) -> dict[str, str]:
        """The filter as the words of a query, fit for any database."""
        words = {"resource": clean(self.resource), "host": clean(self.host)}
        return {name: word for name, word in words.items() if word}

    def conditions(self, run: Run) -> dict[str, str]:
        """Return what a run's lines are asked for; a whole testbed has its key there.

        A guest with the testbed's name has it for itself.
        """
        words, name = self.words, run.testbed.name
        if words.get("resource") != name or run.events.filter(resource=name).exists():
            return words
        return words | {"resource": run.testbed.key}


def why_removed(run: Run) -> str:
    """Return why a run's log was removed."""
    if run.log_removed_for:
        return run.log_removed_for
    days = settings.KEEP_RUNS_DAYS  # 0 keeps logs for ever, but not when this one went
    return f"kept for {count_of(days, 'day')}" if days else "logs are kept for ever now"


def lines_of(run: Run, chosen: LogFilter) -> QuerySet[Event]:
    """Return the lines of a log, oldest first."""
    return run.events.filter(kind=Event.Kind.LOG, **chosen.conditions(run))


def log_of(
    run: Run, chosen: LogFilter, *, before: int | None = None
) -> tuple[list[Event], bool]:
    """Return the last lines before an event, and whether there are earlier ones."""
    lines = lines_of(run, chosen)
    return newest(lines if before is None else lines.filter(seq__lt=before), LOG_LINES)


def newest(lines: QuerySet[Event], most: int) -> tuple[list[Event], bool]:
    """Return the last of some lines, oldest first, and whether there are more."""
    found = list(lines.order_by("-seq")[: most + 1])
    return found[:most][::-1], len(found) > most


async def text_of(run: Run, chosen: LogFilter) -> AsyncIterator[str]:
    """Yield the whole log as text, up to the event that is the newest now.

    A long line that was stored in pieces is one line again.
    """
    after = 0
    while after < run.last_seq:
        text, after = await sync_to_async(_text_page)(run, chosen, after)
        yield text


def _text_page(run: Run, chosen: LogFilter, after: int) -> tuple[str, int]:
    """Return the next lines as text, and the number of the last event in them."""
    lines = lines_of(run, chosen).filter(seq__gt=after, seq__lte=run.last_seq)
    found = list(lines[:TEXT_LINES])
    text = "".join(_texts(run, found, is_first=after == 0))
    if len(found) == TEXT_LINES and found[-1].seq < run.last_seq:
        return text, found[-1].seq
    # The end of the last line; a log without lines is an empty file.
    return (f"{text}\n" if text or after else ""), run.last_seq


def _texts(run: Run, events: list[Event], *, is_first: bool) -> Iterator[str]:
    for event in events:
        if event.data.get("continues") and not is_first:
            yield plain(event.text)
            continue
        yield "" if is_first else "\n"
        is_first = False
        at = f"{event.at:%Y-%m-%dT%H:%M:%S.%fZ}"
        place = f"{event.host} {run.named(event.resource)} {event.stream}"
        yield f"{at} {place}: {plain(event.text)}"
