"""Copy a testbed under a new name, without or with its guests' disks."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from pydantic import BaseModel

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act, require
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of, problem_json
from testbed.images import copies
from testbed.models import Testbed
from testbed.models.listing.names import free_name
from testbed.views.forms import NameForm, read_json
from testbed.views.problems import JSON, status_of, wants_json


class CopyForm(BaseModel):
    """The copy's name, and whether it gets the disks of now."""

    name: str = ""
    disks: bool = False


@login_required
@require_http_methods(["GET", "POST"])
def copy(request: Request, address: Address) -> HttpResponse:
    """Show the form, or copy a testbed."""
    testbed = testbed_for(request, address, Act.COPY)
    wanted = f"{testbed.name[:35]}-copy"
    form = CopyForm(name=free_name(request.user, wanted))
    if request.method == "GET":
        return _page(request, testbed, form)
    try:
        form = _read(request)
        name = NameForm({"slug": form.name}, user=request.user).name()
        if form.disks:
            return _with_disks(request, testbed, name)
        found = copies.copy(testbed, request.user, name)
    except TestbedError as exc:
        return _page(request, testbed, form, exc)
    if wants_json(request):
        return JsonResponse({"testbed": name})
    messages.success(request, f"{name} was created as a copy of {testbed}.")
    return redirect("testbed", found)


def _with_disks(request: Request, testbed: Testbed, name: str) -> HttpResponse:
    require(request.user, Act.SAVE_IMAGE, testbed)
    run = copies.copy_with_disks(testbed, request.user, name)
    if wants_json(request):
        found = {"testbed": name, "run": run.pk, "instructions": instructions_of(run)}
        return JsonResponse(found)
    messages.success(
        request,
        f"{name} was created. It can be brought up when this run has succeeded.",
    )
    return redirect("run", run.pk)


def _read(request: Request) -> CopyForm:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        disks = "disks" in request.POST
        return CopyForm(name=request.POST.get("name", ""), disks=disks)
    return read_json(request, CopyForm, "a copy")


def _page(
    request: Request,
    testbed: Testbed,
    form: CopyForm,
    problem: TestbedError | None = None,
) -> HttpResponse:
    status = status_of(problem) if problem else 200
    if problem is not None and wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    active = testbed.runs.active().filter(is_exclusive=True)
    context = {
        "testbed": testbed,
        "form": form,
        "problem": problem,
        "may_save": request.may.allows(Act.SAVE_IMAGE),
        "active_run": active.select_related("asked_by").defer("plan").first(),
    }
    return render(request, "catalogue/copy.html", context, status=status)
