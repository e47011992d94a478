"""Starts Up of single guests: as they are, with new disks, or their scripts again."""

import json

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from pydantic import BaseModel, ValidationError

from orchestration.errors import ExecutionRefused, TestbedError
from orchestration.plan.selected import GuestUp, way_named
from orchestration.state.selection import fold
from testbed.access.permissions import Act, act_up, log_act, require
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.guests.snapshots import lost_with_disks
from testbed.pages.overview import guests_of, state_of
from testbed.runs.creation import create_guest_up
from testbed.testbeds.executions import matched
from testbed.views.execution.form import selection_of
from testbed.views.execution.refusals import form_address, refused
from testbed.views.problems import JSON, wants_json


class UpWish(BaseModel):
    """A way to bring guests up and the guests, as a program sends them."""

    mode: str = ""
    selection: str = ""


@login_required
@form_address
def bring(request: Request, slug: str) -> HttpResponse:
    """Bring the guests of a selection up, sent as a form or as JSON."""
    testbed = testbed_for(request, slug, Act.UP_GUESTS)
    try:
        wish = _wish(request)
        way = way_named(wish.mode)
        act = act_up(way)
        require(request.user, act, testbed)
        if question := _question(request, testbed, way, wish.selection):
            return question
        run = create_guest_up(testbed, request.user, way, wish.selection)
    except TestbedError as exc:
        return refused(request, testbed, exc)
    log_act(request.user, act, testbed, f"{wish.selection}, run {run.pk}")
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _wish(request: Request) -> UpWish:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        return UpWish(
            mode=request.POST.get("mode", ""), selection=selection_of(request.POST)
        )
    try:
        return UpWish.model_validate(json.loads(request.body))
    except (ValueError, RecursionError, ValidationError) as exc:
        raise ExecutionRefused(
            "The body is not the JSON of an Up of guests.", hint="See docs/protocol.md."
        ) from exc


def _question(
    request: Request, testbed: Testbed, way: GuestUp, selection: str
) -> HttpResponse | None:
    """Ask before disks are erased, unless those of these guests were confirmed.

    Programs are not asked. Raises: TestbedBusy, SelectionFailed, StateError.
    """
    if not way.loses_data or wants_json(request):
        return None
    require_no_run(testbed.runs.all())
    names = matched(testbed, selection)
    rows = [
        row
        for row in guests_of(testbed, state_of(testbed)[0])
        if row.guest.name in names and row.guest.markers.disk
    ]
    folded = fold(names)
    if not rows or request.POST.get("sure") == folded:
        return None
    lost = lost_with_disks(testbed, names)
    context = {"testbed": testbed, "way": way, "rows": rows, "folded": folded}
    context |= {"lost": lost}
    return render(request, "guests/recreate.html", context)
