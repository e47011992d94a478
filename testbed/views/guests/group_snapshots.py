"""Acts on group snapshots: their questions, their runs, and the YAML of then.

`snapshots` calls `act_on_group` for a form that names all guests.
"""

from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render

from orchestration.errors import SnapshotFailed
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.permissions import Act, act_with, record_act, require
from testbed.access.visibility import Request
from testbed.api.shapes import instructions_of
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.guests.group_snapshots import Group, group_of
from testbed.pages.guests.snapshot_losses import erased_by_group
from testbed.pages.guests.snapshots import trees_of
from testbed.pages.overview import unseen_run
from testbed.runs.creation import create_snapshot
from testbed.testbeds.editing import put_yaml_back
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import not_confirmed_json
from testbed.views.guests.snapshot_forms import ALL, PUT_YAML_BACK, SnapshotForm
from testbed.views.problems import wants_json


def act_on_group(
    request: Request, testbed: Testbed, form: SnapshotForm
) -> HttpResponse:
    """Ask first where something is lost, else act. Raises: TestbedError, NotAllowed."""
    if form.verb == PUT_YAML_BACK:
        return _put_yaml_back(request, testbed, form)
    if form.verb in list(SnapshotVerb):
        require(request.user, act_with(SnapshotVerb(form.verb)), testbed)
    wish, is_person = form.wish(request.user.get_username()), not wants_json(request)
    is_restore = wish.verb is SnapshotVerb.RESTORE
    group, erasure = None, None
    if wish.erases or is_restore:
        trees = trees_of(testbed)
        group = group_of(testbed, trees, wish.name)
        if group is None and (is_person or wish.is_of_latest):
            raise _not_there(testbed, wish.name)
        if wish.erases or is_person:
            erasure = erased_by_group(testbed, wish, trees, group)
    if group:
        latest = group.names() if wish.is_of_latest else {}
        # A program may name what a run has taken since the last look.
        is_seen = is_person or unseen_run(testbed) is None
        wish = replace(wish, latest=latest, taken=group.taken() if is_seen else {})
    try:
        run = create_snapshot(
            testbed,
            request.user,
            wish,
            ALL,
            leaves=group.leaves() if group and is_restore else {},
            erasure=erasure,
            confirm=form.confirm,
        )
    except Unconfirmed as exc:
        if group is None or not is_person:
            return not_confirmed_json(exc)
        return _question(request, group, form, exc.erasure.token)
    record_act(request.user, act_with(wish.verb), testbed, wish.sentence, run=run)
    if not is_person:
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _put_yaml_back(
    request: Request, testbed: Testbed, form: SnapshotForm
) -> HttpResponse:
    """Show a person the difference first; the YAML before is kept as a file."""
    require(request.user, Act.EDIT, testbed)
    group = group_of(testbed, trees_of(testbed), form.name)
    if group is None:
        raise _not_there(testbed, form.name)
    if form.confirm != group.yaml_token and not wants_json(request):
        require_no_run(testbed.runs.all())
        return _question(request, group, form, group.yaml_token)
    kept = put_yaml_back(testbed, group.record)
    record_act(request.user, Act.EDIT, testbed, f"put the YAML of {group.name} back")
    if wants_json(request):
        return JsonResponse({"kept": kept})
    words = f"The YAML of {group.name} is back. The one before is in {kept}."
    messages.success(request, words)
    return redirect("testbed", testbed)


def _not_there(testbed: Testbed, name: str) -> SnapshotFailed:
    what = f"group snapshot {name}" if name else "snapshot"
    return SnapshotFailed(
        f"{testbed} had no {what} at the last look.", hint="Choose another one."
    )


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
