"""Acts on group snapshots: their questions, their runs, and the YAML of then.

`snapshots` calls `act_on_group` for a form that names all guests.
"""

from dataclasses import replace

from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from orchestration.errors import SnapshotFailed
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.permissions import Act, act_with, log_act, require
from testbed.access.visibility import Request
from testbed.api.shapes import instructions_of
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.guests.group_snapshots import Group, group_of
from testbed.pages.guests.snapshots import trees_of
from testbed.runs.creation import create_snapshot
from testbed.testbeds.editing import put_yaml_back
from testbed.views.guests.snapshot_forms import ALL, PUT_YAML_BACK, SnapshotForm
from testbed.views.problems import wants_json

ASKS = (SnapshotVerb.RESTORE, SnapshotVerb.DELETE, PUT_YAML_BACK)


def act_on_group(
    request: Request, testbed: Testbed, form: SnapshotForm
) -> HttpResponse:
    """Ask first where something is lost, else act. Raises: TestbedError, NotAllowed."""
    is_yaml = form.verb == PUT_YAML_BACK
    if form.verb in list(SnapshotVerb):
        require(request.user, act_with(SnapshotVerb(form.verb)), testbed)
    if is_yaml:
        require(request.user, Act.EDIT, testbed)
    group = None
    if form.verb in ASKS:
        group = group_of(testbed, trees_of(testbed), form.name)
    if group is None and (is_yaml or (form.verb in ASKS and not wants_json(request))):
        name = f"group snapshot {form.name}" if form.name else "snapshot"
        raise SnapshotFailed(
            f"{testbed} had no {name} at the last look.", hint="Choose another one."
        )
    if group and form.sure != group.token and not wants_json(request):
        require_no_run(testbed.runs.all())
        return _question(request, testbed, form, group)
    if is_yaml and group:
        kept = put_yaml_back(testbed, group.record)
        log_act(request.user, Act.EDIT, testbed, f"put the YAML of {group.name} back")
        if wants_json(request):
            return JsonResponse({"kept": kept})
        words = f"The YAML of {group.name} is back. The one before is in {kept}."
        messages.success(request, words)
        return redirect("testbed", testbed.slug)
    return _start(request, testbed, form, group)


def _start(
    request: Request, testbed: Testbed, form: SnapshotForm, group: Group | None
) -> HttpResponse:
    wish = form.wish(request.user.get_username())
    is_restore = wish.verb is SnapshotVerb.RESTORE
    if group and wish.is_of_latest:
        wish = replace(wish, latest=group.names())
    leaves = group.leaves() if group and is_restore else {}
    run = create_snapshot(testbed, request.user, wish, ALL, leaves=leaves)
    log_act(
        request.user, act_with(wish.verb), testbed, f"{wish.sentence}, run {run.pk}"
    )
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _question(
    request: Request, testbed: Testbed, form: SnapshotForm, group: Group
) -> HttpResponse:
    context = {
        "testbed": testbed,
        "group": group,
        "before": f"before-{timezone.localtime():%Y%m%d-%H%M%S}",
    }
    name = "yaml" if form.verb == PUT_YAML_BACK else form.verb
    return render(request, f"snapshots/group_{name}.html", context)
