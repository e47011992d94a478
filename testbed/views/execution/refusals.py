"""The answer to a command, copy or power verb that is refused.

A refused form is shown at the form's address, which a browser may load again.
"""

from collections.abc import Callable
from functools import wraps

from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import problem_json
from testbed.models import Testbed
from testbed.views.execution.form import ExecutionForm
from testbed.views.problems import status_of, wants_json
from testbed.views.testbeds import show_testbed

View = Callable[[Request, Address], HttpResponse]


def form_address(view: View) -> View:
    """Let a view have POST, and lead a GET of its address to the testbed's page."""

    @require_http_methods(["GET", "POST"])
    @wraps(view)
    def answer(request: Request, address: Address) -> HttpResponse:
        if request.method == "POST":
            return view(request, address)
        return redirect("testbed", testbed_for(request, address, Act.SEE))

    return answer


def refused(request: Request, testbed: Testbed, problem: TestbedError) -> HttpResponse:
    """Answer 409 beside another run, mostly 422; the page keeps what was typed."""
    status = status_of(problem)
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    form = ExecutionForm(request.POST)
    return show_testbed(request, testbed, problem, status, form=form)
