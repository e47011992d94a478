"""What a websocket reads from the database: who may follow a run, and what is new.

Plain synchronous functions, called by `consumers` in threads. Rows are read in pages,
so that memory does not grow with the length of a run.
"""

from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.http import HttpRequest

from testbed.fragments import header_of, html_of
from testbed.frames import Frame, frame_of, run_frame
from testbed.models import Run

PAGE_EVENTS = 500
NOT_SIGNED_IN = 4401
NOT_ALLOWED = 4403
NO_SUCH_RUN = 4404
SessionStore = import_module(settings.SESSION_ENGINE).SessionStore


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is behind a socket; `refusal` is the close code for who may not stay."""

    user: User | None
    refusal: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """The next frames after an event, in order; `run_end` once nothing more comes."""

    frames: list[Frame]
    last_seq: int
    has_more: bool
    run_end: Frame | None


def visitor(session_key: str | None, run_id: int) -> Visitor:
    """Look up who has this session now, and whether the run is theirs to see."""
    request = HttpRequest()
    request.session = SessionStore(session_key)
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active:
        return Visitor(None, NOT_SIGNED_IN)
    if not Run.objects.filter(pk=run_id).exists():
        return Visitor(user, NO_SUCH_RUN)
    if not Run.objects.all().visible_to(user).filter(pk=run_id).exists():
        return Visitor(user, NOT_ALLOWED)
    return Visitor(user)


def last_seq(run_id: int) -> int:
    """Return the number of the newest event."""
    return Run.objects.values_list("last_seq", flat=True).get(pk=run_id)


def read_page(run_id: int, after: int, *, has_html: bool) -> Page:
    """Read what came after an event. Raises: Run.DoesNotExist.

    The run's row is read before the events: when it is over, its last event is there.
    """
    runs = Run.objects.select_related("testbed", "asked_by").defer("plan")
    run = runs.get(pk=run_id)
    events = []
    if run.last_seq > after:
        events = list(run.events.filter(seq__gt=after)[:PAGE_EVENTS])
    has_more = len(events) == PAGE_EVENTS
    frames = []
    for event in events:
        # What is shown last is what ends the connection.
        if event.kind == "run":
            continue
        frame = frame_of(event)
        html = html_of(event, run) if has_html else ""
        frames.append({**frame, "html": html} if html else frame)
    run_end = None
    if run.is_over and not has_more:
        run_end = run_frame(run)
        run_end |= {"html": header_of(run)} if has_html else {}
    return Page(frames, events[-1].seq if events else after, has_more, run_end)
