"""The answer to a command, copy or power verb that is refused."""

from django.http import HttpResponse, JsonResponse

from orchestration.errors import TestbedBusy, TestbedError
from testbed.access.visibility import Request
from testbed.api.shapes import problem_json
from testbed.models import Testbed
from testbed.views.execution.form import ExecutionForm
from testbed.views.problems import wants_json
from testbed.views.testbeds import show_testbed


def refused(request: Request, testbed: Testbed, problem: TestbedError) -> HttpResponse:
    """Answer 409 beside another run, else 422; the page keeps what was typed."""
    status = 409 if isinstance(problem, TestbedBusy) else 422
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    form = ExecutionForm(request.POST)
    return show_testbed(request, testbed, problem, status, form=form)
