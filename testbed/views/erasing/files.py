"""Delete a file of a testbed, after a question."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import problem_json
from testbed.models import Testbed
from testbed.testbeds.erasure.deletions import erased_file
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.files import delete_file
from testbed.views.erasing.question import (
    Question,
    ask,
    confirm_of,
    not_confirmed,
    say_deleted,
)
from testbed.views.problems import status_of, wants_json


@login_required
@require_http_methods(["GET", "POST"])
def remove(request: Request, address: Address) -> HttpResponse:
    """Ask, then delete one file."""
    testbed = testbed_for(request, address, Act.EDIT)
    sent = request.POST if request.method == "POST" else request.GET
    path = sent.get("path", "")
    try:
        if request.method == "GET":
            return ask(request, _question(testbed, path), erased_file(testbed, path))
        item = delete_file(testbed, path, request.user, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _question(testbed, path))
    except TestbedError as exc:
        if wants_json(request):
            return JsonResponse(problem_json(exc), status=status_of(exc))
        messages.error(request, exc.sentence)
        return redirect("testbed", address)
    if wants_json(request):
        return JsonResponse({"deleted": path, "trash": item and item.pk})
    say_deleted(request, path, item)
    return redirect("testbed", address)


def _question(testbed: Testbed, path: str) -> Question:
    return Question(
        title=f"Delete {path}?",
        text=f"The file is removed from {testbed}.",
        address=reverse("testbed-remove", args=[testbed]),
        button="Delete it",
        keep="Keep it",
        back=reverse("testbed", args=[testbed]),
        fields={"path": path},
        testbed=testbed,
    )
