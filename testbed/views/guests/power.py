"""Starts a power run: guests are started, shut down, paused, rebooted."""

import json

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from pydantic import BaseModel, ValidationError

from orchestration.errors import ExecutionRefused, TestbedError
from orchestration.plan.power import Verb, verb_named
from orchestration.state.selection import fold
from testbed.access.permissions import Act, log_act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.overview import guests_of, state_of
from testbed.runs.creation import create_power
from testbed.testbeds.executions import matched
from testbed.views.execution.form import selection_of
from testbed.views.execution.refusals import form_address, refused
from testbed.views.problems import JSON, wants_json


class PowerWish(BaseModel):
    """A power verb and the guests that it is for, as a program sends them."""

    verb: str = ""
    selection: str = ""


@login_required
@form_address
def change(request: Request, slug: str) -> HttpResponse:
    """Change the power of the guests of a selection, sent as a form or as JSON."""
    testbed = testbed_for(request, slug, Act.POWER)
    try:
        wish = _wish(request)
        verb = verb_named(wish.verb)
        if question := _question(request, testbed, verb, wish.selection):
            return question
        run = create_power(testbed, request.user, verb, wish.selection)
    except TestbedError as exc:
        return refused(request, testbed, exc)
    what = f"{verb.title} on {wish.selection}, run {run.pk}"
    log_act(request.user, Act.POWER, testbed, what)
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _wish(request: Request) -> PowerWish:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        return PowerWish(
            verb=request.POST.get("verb", ""), selection=selection_of(request.POST)
        )
    try:
        return PowerWish.model_validate(json.loads(request.body))
    except (ValueError, RecursionError, ValidationError) as exc:
        raise ExecutionRefused(
            "The body is not the JSON of a power command.", hint="See docs/protocol.md."
        ) from exc


def _question(
    request: Request, testbed: Testbed, verb: Verb, selection: str
) -> HttpResponse | None:
    """Ask before guests lose unsaved data, unless these were confirmed.

    Programs are not asked. Raises: TestbedBusy, SelectionFailed, StateError.
    """
    if not verb.loses_data or wants_json(request):
        return None
    require_no_run(testbed.runs.all())
    names = matched(testbed, selection)
    folded = fold(names)
    if request.POST.get("sure") == folded:
        return None
    rows = guests_of(testbed, state_of(testbed)[0])
    context = {
        "testbed": testbed,
        "verb": verb,
        "rows": [row for row in rows if row.guest.name in names],
        "folded": folded,
    }
    return render(request, "guests/question.html", context)
