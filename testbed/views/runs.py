"""Runs: start one, watch it, stop it; its log is in `logs`."""

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

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.plan.lifecycle import Plan
from orchestration.plan.model import Command, Options
from testbed.access.addresses import Address
from testbed.access.permissions import Act, act_of_command, require
from testbed.access.visibility import (
    Request,
    not_stored,
    page_of,
    run_for,
    testbed_for,
    visible_runs,
)
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Run, Testbed
from testbed.pages.board import stage_of, stages_of
from testbed.pages.waiting import unclaimed_run
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import ENDS_TOOLS, PlanJson
from testbed.runs.event_rows import clean
from testbed.runs.places.queue import turn_of
from testbed.runs.places.tools import tools_of
from testbed.runs.starting import NoSuchCommand, command_named, start_command
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import Question, confirm_of, not_confirmed
from testbed.views.erasing.testbeds import clear_question, kept_fields
from testbed.views.execution.answers import answers_context
from testbed.views.logs import log_context
from testbed.views.parts import part_of
from testbed.views.problems import status_of, wants_json
from testbed.views.testbeds import show_testbed

MOST_TEXT = 200


@login_required
@require_http_methods(["GET", "POST"])
def of_testbed(request: Request, address: Address) -> HttpResponse:
    """Show a testbed's past runs, or start a new one."""
    if request.method == "POST":
        return _start(request, address)
    testbed = testbed_for(request, address, Act.SEE)
    runs = visible_runs(request, testbed).listed()
    text = clean(request.GET.get("text", "")).strip()
    is_history = request.GET.get("kind") == Command.EXEC
    if is_history:
        runs = runs.filter(command=Command.EXEC)
    if text:
        runs = runs.with_text(text[:MOST_TEXT])
    context = {"testbed": testbed, "page": page_of(request, runs)}
    query = {"kind": "exec"} if is_history else {}
    query |= {"text": text} if text else {}
    context |= {"is_history": is_history, "text": text, "query": query}
    return render(request, "runs/list.html", context)


@not_stored
@login_required
@require_GET
def detail(request: Request, pk: int) -> HttpResponse:
    """Show a run from its rows; the page follows the events after `last_seq`."""
    run = run_for(request, pk, Act.SEE)
    drives = _drives(request, run)
    is_execution = run.command == Command.EXEC
    shown = (
        answers_context(request, run) if is_execution else {"stages": stages_of(run)}
    )
    context = {
        **log_context(request, run),
        **shown,
        "instructions": instructions_of(run) if drives else [],
        "drives": drives,
        "waiting": unclaimed_run(run),
        "queued": turn_of(run),
    }
    template = "executions/detail.html" if is_execution else "runs/detail.html"
    if run.is_capture:
        template = "executions/capture.html"
        path = reverse("run-capture", args=[run.pk])
        context["address"] = request.build_absolute_uri(path)
    return render(request, template, context)


@login_required
@require_GET
@part_of("run")
def stage(request: Request, pk: int) -> HttpResponse:
    """Show one stage of the board from its rows."""
    run = run_for(request, pk, Act.SEE)
    name = clean(request.GET.get("name", ""))
    if not run.instructions.filter(stage=name).exists():
        raise Http404(f"This run has no stage {name!r}.")
    return render(
        request, "runs/_stage.html", {"run": run, "stage": stage_of(run, name)}
    )


@login_required
@require_GET
@part_of("run")
def waiting(request: Request, pk: int) -> HttpResponse:
    """Show whether a worker has taken this run yet, or its place in the queue."""
    run = run_for(request, pk, Act.SEE)
    context = {"run": run, "waiting": unclaimed_run(run), "queued": turn_of(run)}
    return render(request, "runs/_waiting.html", context)


@login_required
@require_POST
def cancel(request: Request, pk: int) -> HttpResponse:
    """Ask a run to stop; its page shows the progress."""
    run = run_for(request, pk, Act.CANCEL)
    request_cancel(run.pk, request.user)
    if request.htmx:
        return render(
            request, "runs/_header.html", {"run": run_for(request, pk, Act.CANCEL)}
        )
    return redirect("run", pk)


def _start(request: Request, address: Address) -> HttpResponse:
    testbed = testbed_for(request, address, Act.UP)
    try:
        command = command_named(request.POST.get("command", ""))
    except NoSuchCommand as exc:
        return _refused(request, testbed, exc, status=400)
    require(request.user, act_of_command(command), testbed)
    try:
        if question := _tools_question(request, testbed, command):
            return question
        run = start_command(
            testbed,
            request.user,
            command,
            _options(request),
            client_plan=_client_plan(request),
            confirm=confirm_of(request),
        )
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _question(request, testbed, command, exc))
    except TestbedError as exc:
        return _refused(request, testbed, exc, status=status_of(exc))
    if wants_json(request):
        answer = {"run": run.pk, "instructions": instructions_of(run)}
        return JsonResponse(answer | {"status": run.status})
    return redirect("run", run.pk)


def _question(
    request: Request, testbed: Testbed, command: Command, exc: Unconfirmed
) -> Question:
    """Return the question before disks are erased."""
    if command == Command.CLEAR_ARTEFACTS:
        return clear_question(testbed, request.POST)
    disks = count_of(len(exc.erasure.disks), "disk")
    return Question(
        title=f"Erase {disks} of {testbed}?",
        text="Up erases these disks, with everything that was written in them. This "
        "cannot be undone.",
        address=reverse("testbed-runs", args=[testbed]),
        answer=("command", command.value),
        button=f"Up, and erase {disks}",
        icon="arrow-up",
        back=reverse("testbed", args=[testbed]),
        fields=kept_fields(request.POST),
        testbed=testbed,
    )


def _tools_question(
    request: Request, testbed: Testbed, command: Command
) -> HttpResponse | None:
    """Ask a person before tools are ended, also one that began since the question."""
    if command not in ENDS_TOOLS or wants_json(request):
        return None
    tools = list(tools_of(testbed).listed())
    digest = ",".join(str(run.pk) for run in tools)
    is_confirmed = request.POST.get("end_tools") == digest
    if not tools or is_confirmed:
        return None
    context = {"testbed": testbed, "digest": digest, "command": command}
    context["fields"] = kept_fields(request.POST)
    context["tools"] = list(tools_of(testbed).visible_to(request.user).listed())
    context["count"] = len(tools)
    return render(request, "testbeds/end_tools.html", context)


def _refused(
    request: Request, testbed: Testbed, problem: TestbedError, *, status: int
) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    return show_testbed(request, testbed, problem, status)


def _options(request: Request) -> Options:
    return Options(
        provision="provision" in request.POST,
        rerun_scripts="rerun_scripts" in request.POST,
    )


def _client_plan(request: Request) -> PlanJson | None:
    """Return the plan that a client made itself, for comparison with the server's."""
    text = request.POST.get("plan")
    if text is None:
        return None
    plan: PlanJson = json.loads(Plan.from_json(text).to_json())
    return plan


def _drives(request: Request, run: Run) -> bool:
    """Return whether this page sends the instructions: its user's run has no driver."""
    return (
        run.status == Run.Status.PENDING
        and run.driver == Run.Driver.NOBODY
        and run.asked_by_id == request.user.pk
        and request.may.allows(Act.DRIVE)
    )
