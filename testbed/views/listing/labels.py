"""A testbed's description and tags, and the star by which a user marks favourites."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access import names
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import problem_json
from testbed.models import Testbed
from testbed.testbeds.listing.labels import describe, set_favourite
from testbed.views.forms import NameForm
from testbed.views.listing.places import list_of
from testbed.views.problems import status_of, wants_json
from testbed.views.testbeds import show_testbed


@login_required
@require_http_methods(["GET", "POST"])
def change(request: Request, address: Address) -> HttpResponse:
    """Change a testbed's description or tags; a program may ask for them."""
    act = Act.DESCRIBE if request.method == "POST" else Act.SEE
    testbed = testbed_for(request, address, act)
    form = request.POST
    try:
        words = describe(
            testbed, request.user, form.get("description"), form.get("tags")
        )
    except TestbedError as exc:
        return _refused(request, testbed, exc)
    if wants_json(request):
        return JsonResponse(_shape(testbed))
    if words:
        messages.success(request, f"{testbed} has another description or other tags.")
    return redirect("testbed", address)


@login_required
@require_POST
def favourite(request: Request, address: Address) -> HttpResponse:
    """Mark a testbed as a favourite of the user, or with `star=0` no longer."""
    testbed = testbed_for(request, address, Act.SEE)
    is_favourite = request.POST.get("star") != "0"
    set_favourite(testbed, request.user, is_favourite=is_favourite)
    if wants_json(request):
        return JsonResponse({"favourite": is_favourite})
    if request.htmx:
        context = {"testbed": testbed, "is_favourite": is_favourite}
        return render(request, "testbeds/listing/_star.html", context)
    return redirect(list_of(request))


@login_required
@require_http_methods(["GET", "POST"])
def rename(request: Request, address: Address) -> HttpResponse:
    """Give a testbed another name; its old address leads to the new one."""
    act = Act.RENAME if request.method == "POST" else Act.SEE
    testbed = testbed_for(request, address, act)
    if request.method == "GET":
        return redirect("testbed", testbed)
    form = NameForm({"slug": request.POST.get("name")}, user=testbed.owner, but=testbed)
    try:
        names.rename(testbed, form.name(), request.user)
    except TestbedError as exc:
        return _refused(request, testbed, exc)
    testbed.refresh_from_db(fields=("name",))
    if wants_json(request):
        return JsonResponse({"testbed": testbed.full_name})
    messages.success(request, f"It is named {testbed.name} now.")
    return redirect("testbed", testbed)


def _refused(request: Request, testbed: Testbed, problem: TestbedError) -> HttpResponse:
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=status_of(problem))
    return show_testbed(request, testbed, problem, status_of(problem))


def _shape(testbed: Testbed) -> dict[str, object]:
    tags = [tag.name for tag in testbed.tags.all()]
    return {"description": testbed.description, "tags": tags}
