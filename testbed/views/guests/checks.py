"""Starts the check of one guest: can it be reached, and if not, why."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of
from testbed.pages.guests.page import find_guest
from testbed.runs.starting import start_check
from testbed.views.execution.refusals import refused
from testbed.views.problems import wants_json


@login_required
@require_http_methods(["GET", "POST"])
def start(request: Request, address: Address, name: str) -> HttpResponse:
    """Check one guest in a run of its own, or lead to the one that is not over."""
    if request.method == "GET":  # a refused form is loaded again
        testbed_for(request, address, Act.SEE)
        return redirect("guest", address, name)
    testbed = testbed_for(request, address, Act.CHECK)
    try:
        if find_guest(testbed, name) is None:
            raise Http404(f"Testbed {testbed} has no guest {name!r}.")
        run = start_check(testbed, request.user, name)
    except TestbedError as exc:
        return refused(request, testbed, exc)
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)
