"""The database reads of a websocket: the user's access, and the new events.

Plain synchronous functions, called by `consumer` in threads. Rows are read in pages,
so that memory does not grow with the length of a run.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import User

from orchestration.plan.model import Command
from testbed.access.permissions import Permissions, permissions_of, seen_runs
from testbed.access.sessions import user_of_session
from testbed.access.tokens import TokenInvalid, user_of_token
from testbed.models import Event, Run
from testbed.pages.logs import LogFilter, lines_of, newest
from testbed.websocket.fragments import header_of, html_of
from testbed.websocket.frames import Frame, frame_of, run_frame, skipped_frame

PAGE_EVENTS = 500
# In a flood a page gets as many lines as it shows; it loads others on request.
TAIL_LINES = 200
NOT_SIGNED_IN = 4401
NO_SUCH_RUN = 4404


@dataclass(frozen=True, slots=True)
class Visitor:
    """The user behind a socket; `refusal` is the close code when access is denied.

    `may` has what the user may do to the testbed of the run, which `run` is.
    """

    user: User | None
    refusal: int = 0
    may: Permissions = field(default_factory=Permissions)
    run: Run | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A client's choice: fragments, the log's newest lines only, a part of the log.

    Fragments have the buttons that `may` allows, for the user `viewer_id`. A page has at
    most `page_events` events and, of a log's tail, `tail_lines` lines.
    """

    has_html: bool = False
    is_tail: bool = False
    log: LogFilter = field(default_factory=LogFilter)
    may: Permissions = field(default_factory=Permissions)
    viewer_id: int | None = None
    page_events: int = PAGE_EVENTS
    tail_lines: int = TAIL_LINES


@dataclass(frozen=True, slots=True)
class Page:
    """The next frames after an event, in order; `run_end` once nothing more comes."""

    frames: list[Frame]
    last_seq: int
    has_more: bool
    run_end: Frame | None
    has_skipped: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """Events in order, the last number read, and where a partial log starts."""

    events: list[Event]
    last_seq: int
    has_more: bool
    skipped_to: int = 0


def visitor(session_key: str | None, run_id: int, token: str | None = None) -> Visitor:
    """Look up the current user, and whether the user may see the run."""
    user = signed_in(session_key, token)
    if user is None:
        return Visitor(None, NOT_SIGNED_IN)
    visible = seen_runs(user).select_related("testbed__owner")
    run = visible.defer("plan", "options").filter(pk=run_id).first()
    if run is None:
        return Visitor(user, NO_SUCH_RUN)
    return Visitor(user, may=permissions_of(user, run.testbed), run=run)


def signed_in(session_key: str | None, token: str | None) -> User | None:
    """Return the current user of a token or, without one, of a session."""
    if token is None:
        return user_of_session(session_key)
    try:
        return user_of_token(token)
    except TokenInvalid:
        return None


def last_seq(run_id: int) -> int:
    """Return the number of the newest event."""
    return Run.objects.values_list("last_seq", flat=True).get(pk=run_id)


def read_page(run_id: int, after: int, view: View) -> Page:
    """Read the events after a number. Raises: Run.DoesNotExist.

    The run's row is read before the events: when it is over, its last event is there.
    """
    runs = Run.objects.select_related("testbed__owner", "asked_by").defer("plan")
    run = runs.get(pk=run_id)
    run.testbed.viewer_id = view.viewer_id
    found = _Found([], after, has_more=False)
    if run.last_seq > after:
        found = (_tail if view.is_tail else _next)(run, after, view)
    frames = [skipped_frame(found.skipped_to)] if found.skipped_to else []
    frames += _frames(found.events, run, view)
    run_end = None
    if run.is_over and not found.has_more:
        run_end = run_frame(run)
        run_end |= {"html": header_of(run, view.may)} if view.has_html else {}
    has_skipped = bool(found.skipped_to)
    return Page(frames, found.last_seq, found.has_more, run_end, has_skipped)


def _next(run: Run, after: int, view: View) -> _Found:
    """Read the next events, of the log only the chosen lines."""
    news = run.events.filter(seq__gt=after, seq__lte=run.last_seq)
    if view.log:
        news = news.exclude(kind=Event.Kind.LOG) | news.filter(
            kind=Event.Kind.LOG, **view.log.conditions(run)
        )
    events = list(news[: view.page_events])
    has_more = len(events) == view.page_events
    return _Found(events, events[-1].seq if has_more else run.last_seq, has_more)


def _tail(run: Run, after: int, view: View) -> _Found:
    """Read the next events, of the log only the newest chosen lines."""
    others = list(
        run.events.exclude(kind=Event.Kind.LOG).filter(
            seq__gt=after, seq__lte=run.last_seq
        )[: view.page_events]
    )
    has_more = len(others) == view.page_events
    last_seq = others[-1].seq if has_more else run.last_seq
    news = lines_of(run, view.log).filter(seq__gt=after, seq__lte=last_seq)
    lines, has_skipped = newest(news, view.tail_lines)
    events = sorted([*others, *lines], key=lambda event: event.seq)
    skipped_to = lines[0].seq - 1 if has_skipped else 0
    return _Found(events, last_seq, has_more, skipped_to)


def _frames(events: list[Event], run: Run, view: View) -> Iterable[Frame]:
    # A card is rendered from its current row: once is enough for a page of events.
    newest_of = {_subject(event, run): event.seq for event in events}
    for event in events:
        # The run's end is sent last, as it ends the connection.
        if event.kind == Event.Kind.RUN:
            continue
        frame = frame_of(event, run)
        is_newest = (
            event.kind == Event.Kind.LOG or newest_of[_subject(event, run)] == event.seq
        )
        html = html_of(event, run, view.may) if view.has_html and is_newest else ""
        yield {**frame, "html": html} if html else frame


def _subject(event: Event, run: Run) -> tuple[str, int, str, str]:
    """Return an event's subject: the next one of the same subject replaces it.

    The answers of a command are one subject: its page counts them. Its copies are not:
    each guest has a card while its copy runs.
    """
    is_progress = event.kind == Event.Kind.TASK_PROGRESSED
    if event.is_of_task and run.command == Command.EXEC and not is_progress:
        return ("answers", 0, "", "")
    kind = "task" if event.is_of_task else event.kind
    return (kind, event.index, event.resource, event.host)
