"""The log of a run: its panel on the run page, earlier lines of it, all of it as text."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from orchestration.errors import StateError
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, run_for
from testbed.models import Run
from testbed.pages.guests.page import find_guest
from testbed.pages.logs import LogFilter, log_of, text_of, why_removed
from testbed.views.parts import part_of

LogContext = dict[str, object]


@not_stored
@login_required
@require_GET
@part_of("run")
def log(request: Request, pk: int) -> HttpResponse:
    """Show the log, of one resource or of all; `?before=` gives earlier lines only."""
    context = log_context(request, run_for(request, pk, Act.SEE))
    is_part = context["before"] is not None
    template = "runs/_log_lines.html" if is_part else "runs/_log.html"
    return render(request, template, context)


@not_stored
@login_required
@require_GET
def log_text(request: Request, pk: int) -> HttpResponseBase:
    """Send the whole log as a text file, page by page."""
    run = run_for(request, pk, Act.SEE)
    kind = "text/plain; charset=utf-8"
    response: HttpResponseBase
    if removed := run.log_removed_at:
        words = f"removed on {removed:%Y-%m-%d} ({why_removed(run)})\n"
        response = HttpResponse(words, content_type=kind)
    else:
        text = text_of(run, _filter(request))
        response = StreamingHttpResponse(text, content_type=kind)
    name = f"{run.testbed.name}-{run.command}-{run.pk}.log"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def log_context(request: Request, run: Run) -> LogContext:
    """Return the context of the log's templates for the request's query."""
    before = request.GET.get("before", "")
    number = int(before) if before.isdecimal() and len(before) < 19 else None
    chosen = _filter(request)
    lines, has_more = log_of(run, chosen, before=number)
    return {
        "run": run,
        "lines": lines,
        "has_more": has_more,
        "before": number,
        "filter": chosen,
        "guest": _guest(run, chosen.resource),
    }


def _guest(run: Run, name: str) -> str:
    """Return the name if a guest of the testbed has it; else nothing."""
    try:
        return name if name and find_guest(run.testbed, name) else ""
    except StateError:
        return ""


def _filter(request: Request) -> LogFilter:
    """Return the resource and host that the query limits the log to, if any."""
    return LogFilter(request.GET.get("resource", ""), request.GET.get("host", ""))
