"""Commands for guests and hosts: start one, and show which a selection matches."""

import json

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from orchestration.errors import ExecutionRefused, TestbedError
from orchestration.plan.execution import Execution, Targets, parse_execution
from orchestration.state.selection import fold
from testbed.access.addresses import Address
from testbed.access.permissions import Act, require
from testbed.access.visibility import Request, not_stored, testbed_for, visible_runs
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Testbed
from testbed.runs.starting import start_execution
from testbed.testbeds.executions import execution_again, matched
from testbed.testbeds.saved_commands import saved_execution
from testbed.views.execution.form import ExecutionForm
from testbed.views.execution.refusals import form_address, refused
from testbed.views.parts import part_of
from testbed.views.problems import JSON, wants_json

VALUE = "value-"


@login_required
@form_address
def start(request: Request, address: Address) -> HttpResponse:
    """Run a command on what a selection matches, sent as a form or as JSON."""
    testbed = testbed_for(request, address, Act.EXECUTE)
    try:
        run = start_execution(testbed, request.user, _wanted(request, testbed))
    except TestbedError as exc:
        return refused(request, testbed, exc)
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


@not_stored
@login_required
@require_GET
@part_of("testbed")
def match(request: Request, address: Address) -> HttpResponse:
    """Show which guests or hosts a selection matches now, before anything runs."""
    testbed, problem = testbed_for(request, address, Act.EXECUTE), None
    is_on_hosts = request.GET.get("targets") == Targets.HOSTS
    targets = Targets.HOSTS if is_on_hosts else Targets.GUESTS
    if is_on_hosts:
        require(request.user, Act.EXECUTE_ON_HOSTS, testbed)
    names: tuple[str, ...] = ()
    selection = request.GET.get("selection", "")
    try:
        names = matched(testbed, selection, targets)
    except TestbedError as exc:
        problem = exc
    folded = fold(names)
    if wants_json(request) and problem:
        return JsonResponse(problem_json(problem), status=422)
    if wants_json(request):
        shape = {targets.value: names, "folded": folded, "count": len(names)}
        return JsonResponse(shape)
    context = {"folded": folded, "count": len(names), "problem": problem}
    context |= {"is_empty": not selection.strip(), "targets": targets}
    return render(request, "executions/_match.html", context)


def _wanted(request: Request, testbed: Testbed) -> Execution:
    if again := request.POST.get("again"):
        runs = visible_runs(request, testbed)
        return execution_again(runs, again, on=request.POST.get("on", "all"))
    if number := request.POST.get("saved"):
        return saved_execution(
            testbed, number, _values(request), request.POST.get("selection", "")
        )
    if request.content_type != JSON:
        return ExecutionForm(request.POST).execution()
    try:
        return parse_execution(json.loads(request.body))
    except (ValueError, RecursionError) as exc:
        raise ExecutionRefused(
            "The body is not the JSON of a command.", hint="See docs/protocol.md."
        ) from exc


def _values(request: Request) -> dict[str, str]:
    """Return the values of a saved command's parameters."""
    return {
        name.removeprefix(VALUE): value
        for name, value in request.POST.dict().items()
        if name.startswith(VALUE)
    }
