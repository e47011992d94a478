"""Save a guest's disk as an image of the catalogue: the form, and the run it starts."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from pydantic import BaseModel

from orchestration.errors import TestbedError
from orchestration.plan.images import NAME_HINT
from orchestration.plan.power import RUNNING
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Testbed
from testbed.pages.overview import guests_of, state_of
from testbed.runs.starting import start_saving
from testbed.views.forms import read_json
from testbed.views.problems import JSON, status_of, wants_json


class SavingForm(BaseModel):
    """The guest that is saved, and the image's name."""

    guest: str = ""
    name: str = ""
    shut_down: bool = False


@login_required
@require_http_methods(["GET", "POST"])
def save(request: Request, address: Address) -> HttpResponse:
    """Show the form for one guest, or start the run."""
    testbed = testbed_for(request, address, Act.SAVE_IMAGE)
    form = SavingForm(guest=request.GET.get("guest", ""))
    if request.method == "GET":
        return _page(request, testbed, form)
    try:
        form = _read(request)
        names = {form.guest: form.name.strip()}
        run = start_saving(testbed, request.user, names, shut_down=form.shut_down)
    except TestbedError as exc:
        return _page(request, testbed, form, exc)
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _read(request: Request) -> SavingForm:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        fields = {key: request.POST[key] for key in request.POST}
        return SavingForm.model_validate(
            fields | {"shut_down": "shut_down" in fields}  # a box that is not ticked
        )
    return read_json(request, SavingForm, "an image to save")


def _page(
    request: Request,
    testbed: Testbed,
    form: SavingForm,
    problem: TestbedError | None = None,
) -> HttpResponse:
    status = status_of(problem) if problem else 200
    if problem is not None and wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    rows = guests_of(testbed, state_of(testbed)[0])
    active = testbed.runs.active().filter(is_exclusive=True)
    context = {
        "testbed": testbed,
        "form": form,
        "problem": problem,
        "guests": [row.guest.name for row in rows if row.guest.disk],
        "any_runs": any(row.status == RUNNING for row in rows),
        "name_hint": NAME_HINT,
        "active_run": active.select_related("asked_by").defer("plan").first(),
    }
    return render(request, "catalogue/save.html", context, status=status)
