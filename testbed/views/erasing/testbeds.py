"""Delete a testbed, or its disks and artefacts, after a question."""

from collections.abc import Mapping

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from orchestration.errors import StateError, TestbedBusy
from orchestration.plan.model import Command
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import problem_json
from testbed.models import Protected, Testbed
from testbed.models.protection import require_unprotected
from testbed.testbeds.erasure.deletions import erased_testbed
from testbed.testbeds.erasure.disks import erased_by_clear
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.files import delete_testbed, require_deletable
from testbed.views.erasing.question import (
    Question,
    ask,
    confirm_of,
    not_confirmed,
    say_deleted,
)
from testbed.views.problems import problem_page, status_of, wants_json

# A question about a run gives them back with its answer.
KEPT_FIELDS = ("provision", "rerun_scripts", "end_tools")


@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, address: Address) -> HttpResponse:
    """Ask, then delete a testbed that is not deployed."""
    testbed = testbed_for(request, address, Act.DELETE)
    try:
        if request.method == "GET":
            require_deletable(testbed)
            return ask(request, _delete_question(testbed), erased_testbed(testbed))
        item = delete_testbed(testbed, request.user, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _delete_question(testbed))
    except (TestbedBusy, StateError, Protected) as exc:
        status = status_of(exc) if isinstance(exc, Protected) else 409
        if wants_json(request):
            return JsonResponse(problem_json(exc), status=status)
        context = {"testbed": testbed, "problem": exc}
        return render(request, "testbeds/delete.html", context, status=status)
    if wants_json(request):
        return JsonResponse({"deleted": testbed.name, "trash": item and item.pk})
    say_deleted(request, str(testbed), item)
    return redirect("testbeds")


@login_required
@require_GET
def delete_disks(request: Request, address: Address) -> HttpResponse:
    """Ask before a run deletes the disks and artefacts; the answer starts the run."""
    testbed = testbed_for(request, address, Act.DELETE_DISKS)
    try:
        require_unprotected(testbed, None)
    except Protected as exc:
        back = reverse("testbed", args=[address])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return ask(request, clear_question(testbed), erased_by_clear(testbed))


def clear_question(
    testbed: Testbed, fields: Mapping[str, str] | None = None
) -> Question:
    """Return the question before the disks and artefacts of a testbed go."""
    return Question(
        title=f"Delete disks and artefacts of {testbed}?",
        text="The disks of its guests are erased, with everything that was written in "
        "them. This cannot be undone.",
        address=reverse("testbed-runs", args=[testbed]),
        answer=("command", Command.CLEAR_ARTEFACTS.value),
        button="Delete disks and artefacts",
        back=reverse("testbed", args=[testbed]),
        fields=kept_fields(fields or {}),
        testbed=testbed,
    )


def kept_fields(form: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a command's form that go with the answer to a question."""
    return {name: form[name] for name in KEPT_FIELDS if name in form}


def _delete_question(testbed: Testbed) -> Question:
    return Question(
        title=f"Delete {testbed}?",
        text="Its keys, the disks of its guests on all hosts, the files that guests sent "
        "and the records of its runs are removed for good.",
        address=reverse("testbed-delete", args=[testbed]),
        button=f"Delete {testbed}",
        keep="Keep it",
        back=reverse("testbed", args=[testbed]),
        testbed=testbed,
    )
