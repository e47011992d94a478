"""Runs: start one, watch it, stop it, read what it said."""

import json

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.errors import TestbedBusy, TestbedError
from orchestration.instructions.base import Command, Options
from orchestration.plan import Plan
from testbed.board import LogFilter, log_of, stage_of, stages_of
from testbed.models import Run, Testbed
from testbed.services.runs import PlanJson, create_run, request_cancel
from testbed.templatetags.looks import plain
from testbed.unclaimed import unclaimed_run
from testbed.views.access import Request, page_of, run_for, testbed_for
from testbed.views.problems import problem_page
from testbed.views.shapes import instructions_of, problem_json

LOG_ROWS = 2000


@login_required
@require_http_methods(["GET", "POST"])
def of_testbed(request: Request, slug: str) -> HttpResponse:
    """Show a testbed's past runs, or start a new one."""
    if request.method == "POST":
        return _start(request, slug)
    testbed = testbed_for(request, slug)
    runs = testbed.runs.select_related("asked_by").defer("plan")
    context = {"testbed": testbed, "page": page_of(request, runs)}
    return render(request, "runs/list.html", context)


@login_required
@require_GET
def detail(request: Request, pk: int) -> HttpResponse:
    """Show a run as its rows are now; the page follows what comes after `last_seq`."""
    run = run_for(request, pk)
    lines, has_more = log_of(run, **_filter(request))
    context = {
        "run": run,
        "stages": stages_of(run),
        "lines": lines,
        "has_more": has_more,
        "filter": _filter(request),
        "instructions": instructions_of(run),
        "drives": _drives(request, run),
        "waiting": unclaimed_run(run),
    }
    return render(request, "runs/detail.html", context)


@login_required
@require_GET
def log(request: Request, pk: int) -> HttpResponse:
    """Show the log, of one resource or of all; `?before=` gives earlier lines only."""
    run, chosen = run_for(request, pk), _filter(request)
    before = request.GET.get("before", "")
    number = int(before) if before.isdecimal() else None
    lines, has_more = log_of(run, before=number, **chosen)
    context = {"run": run, "lines": lines, "has_more": has_more, "filter": chosen}
    template = "runs/_log.html" if number is None else "runs/_log_lines.html"
    return render(request, template, context)


@login_required
@require_GET
def stage(request: Request, pk: int) -> HttpResponse:
    """Show one stage of the board as it is now."""
    run = run_for(request, pk)
    name = request.GET.get("name", "")
    if not run.instructions.filter(stage=name).exists():
        raise Http404(f"This run has no stage {name!r}.")
    return render(request, "runs/_stage.html", {"stage": stage_of(run, name)})


@login_required
@require_GET
def waiting(request: Request, pk: int) -> HttpResponse:
    """Say whether a worker has taken this run yet."""
    run = run_for(request, pk)
    context = {"run": run, "waiting": unclaimed_run(run)}
    return render(request, "runs/_waiting.html", context)


@login_required
@require_GET
def log_text(request: Request, pk: int) -> HttpResponse:
    """Send the whole log as a text file."""
    run = run_for(request, pk)
    events = run.events.filter(kind="log", **_filter(request)).order_by("seq")
    lines = (
        f"{event.at:%Y-%m-%dT%H:%M:%S.%fZ} {event.host} {event.resource}"
        f" {event.stream}: {plain(event.text)}\n"
        for event in events.iterator(LOG_ROWS)
    )
    removed = run.log_removed_at
    text = f"removed on {removed:%Y-%m-%d}\n" if removed else "".join(lines)
    response = HttpResponse(text, content_type="text/plain; charset=utf-8")
    name = f"{run.testbed.slug}-{run.command}-{run.pk}.log"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@login_required
@require_POST
def cancel(request: Request, pk: int) -> HttpResponse:
    """Ask a run to stop; the page shows what becomes of it."""
    run = run_for(request, pk)
    request_cancel(run.pk, request.user)
    if request.htmx:
        return render(request, "runs/_header.html", {"run": run_for(request, pk)})
    return redirect("run", pk)


def _start(request: Request, slug: str) -> HttpResponse:
    testbed = testbed_for(request, slug)
    try:
        command = Command(request.POST.get("command", ""))
    except ValueError:
        problem = TestbedError("There is no such command.", hint="Use the buttons.")
        return _refused(request, testbed, problem, status=400)
    try:
        run = create_run(
            testbed,
            request.user,
            command,
            _options(request),
            client_plan=_client_plan(request),
        )
    except TestbedError as exc:
        status = 409 if isinstance(exc, TestbedBusy) else 422
        return _refused(request, testbed, exc, status=status)
    if _wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _refused(
    request: Request, testbed: Testbed, problem: TestbedError, *, status: int
) -> HttpResponse:
    if _wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    back = reverse("testbed", args=[testbed.slug])
    return problem_page(request, problem, status=status, back=back)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("Accept", "")


def _options(request: Request) -> Options:
    return Options(
        provision="provision" in request.POST,
        rerun_scripts="rerun_scripts" in request.POST,
    )


def _client_plan(request: Request) -> PlanJson | None:
    """Return the plan that a command line made itself, for comparison with ours."""
    text = request.POST.get("plan")
    if text is None:
        return None
    plan: PlanJson = json.loads(Plan.from_json(text).to_json())
    return plan


def _filter(request: Request) -> LogFilter:
    """The resource and host that the log is limited to, as far as they are given."""
    chosen = LogFilter()
    if resource := request.GET.get("resource"):
        chosen["resource"] = resource
    if host := request.GET.get("host"):
        chosen["host"] = host
    return chosen


def _drives(request: Request, run: Run) -> bool:
    """Say whether this page sends the instructions: nobody does yet, its user asked."""
    return (
        run.status == Run.Status.PENDING
        and run.driver == Run.Driver.NOBODY
        and run.asked_by_id == request.user.pk
    )
