"""Acts on group snapshots: their questions, their runs, and the YAML of then.

`snapshots` calls `act_on_group` for a form that names all guests.
"""

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from testbed.access.permissions import Act, require
from testbed.access.visibility import Request
from testbed.api.shapes import instructions_of
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.guests.group_snapshots import Group
from testbed.pages.guests.snapshot_acts import (
    PUT_YAML_BACK,
    SnapshotForm,
    act_on_all,
    bring_yaml_back,
    group_named,
)
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import not_confirmed_json
from testbed.views.problems import wants_json


def act_on_group(
    request: Request, testbed: Testbed, form: SnapshotForm
) -> HttpResponse:
    """Ask first where something is lost, else act. Raises: TestbedError, NotAllowed."""
    if form.verb == PUT_YAML_BACK:
        return _put_yaml_back(request, testbed, form)
    is_person = not wants_json(request)
    try:
        run = act_on_all(testbed, request.user, form, is_person=is_person)
    except Unconfirmed as exc:
        if not is_person:
            return not_confirmed_json(exc)
        group = group_named(testbed, form.name)
        return _question(request, group, form, exc.erasure.token)
    if not is_person:
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _put_yaml_back(
    request: Request, testbed: Testbed, form: SnapshotForm
) -> HttpResponse:
    """Show a person the difference first; the YAML before is kept as a file."""
    require(request.user, Act.EDIT, testbed)
    group = group_named(testbed, form.name)
    if form.confirm != group.yaml_token and not wants_json(request):
        require_no_run(testbed.runs.all())
        return _question(request, group, form, group.yaml_token)
    kept = bring_yaml_back(testbed, request.user, group)
    if wants_json(request):
        return JsonResponse({"kept": kept})
    words = f"The YAML of {group.name} is back. The one before is in {kept}."
    messages.success(request, words)
    return redirect("testbed", testbed)


def _question(
    request: Request, group: Group, form: SnapshotForm, confirm: str
) -> HttpResponse:
    context = {
        "testbed": group.testbed,
        "group": group,
        "before": form.before,
        "confirm": confirm,
        "has_changed": bool(form.confirm),
    }
    name = "yaml" if form.verb == PUT_YAML_BACK else form.verb
    return render(request, f"snapshots/group_{name}.html", context)
