"""The page of a testbed's snapshots, and the runs that it starts."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from orchestration.errors import (
    ExecutionRefused,
    SnapshotFailed,
    TestbedBusy,
    TestbedError,
)
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.permissions import Act, act_with, log_act, require
from testbed.access.visibility import Request, not_stored, page_of, testbed_for
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Testbed
from testbed.models.runs import require_no_run
from testbed.pages.guests.group_snapshots import group_of, groups_of
from testbed.pages.guests.schedules import schedules_of, shapes
from testbed.pages.guests.snapshots import Node, trees_of
from testbed.pages.overview import unseen_run
from testbed.runs.creation import create_snapshot
from testbed.testbeds.executions import matched
from testbed.views.guests.group_snapshots import act_on_group
from testbed.views.guests.snapshot_forms import ALL, SnapshotForm, read_form
from testbed.views.problems import wants_json

CONFLICT, UNPROCESSABLE = 409, 422
_ASKS = (SnapshotVerb.RESTORE, SnapshotVerb.DELETE)


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def snapshots(request: Request, slug: str) -> HttpResponse:
    """Show the snapshots of a testbed's guests, or start a run on one of them."""
    if request.method == "GET":
        return _page(request, testbed_for(request, slug, Act.SEE))
    testbed = testbed_for(request, slug, Act.SNAPSHOT)
    form = SnapshotForm()
    try:
        form = read_form(request)
        act = act_on_group if form.is_group else _act
        return act(request, testbed, form)
    except TestbedError as exc:
        return _page(request, testbed, exc, form)


def _act(request: Request, testbed: Testbed, form: SnapshotForm) -> HttpResponse:
    """Ask first where something is lost, else start the run."""
    by = request.user.get_username()
    if form.verb in list(SnapshotVerb):
        require(request.user, act_with(SnapshotVerb(form.verb)), testbed)
    node = _node(testbed, form)
    is_nameless = form.verb == SnapshotVerb.RENAME and not form.title
    if is_nameless and node and not wants_json(request):
        return _question(request, testbed, form, node)
    if form.verb in _ASKS and not wants_json(request):
        if node is None:
            raise SnapshotFailed(
                f"{form.guest} had no snapshot {form.name} at the last look.",
                hint="Choose another one.",
            )
        if form.sure != node.token:
            require_no_run(testbed.runs.all())
            return _question(request, testbed, form, node)
    wish = form.wish(by)
    act = act_with(wish.verb)
    if matched(testbed, form.guest) != (form.guest,):
        raise ExecutionRefused(
            "A snapshot is of one guest.", hint="Write the guest's name, no pattern."
        )
    leaves = {form.guest: _left(node)} if wish.verb is SnapshotVerb.RESTORE else {}
    run = create_snapshot(testbed, request.user, wish, form.guest, leaves=leaves)
    log_act(
        request.user, act, testbed, f"{wish.sentence} of {form.guest}, run {run.pk}"
    )
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _left(node: Node | None) -> str:
    """Return the status in which a restored guest is; running where nobody knows."""
    return node.snapshot.status if node else "running"


def _node(testbed: Testbed, form: SnapshotForm) -> Node | None:
    found = trees_of(testbed, (form.guest,))
    return found[0].named(form.name) if found else None


def _question(
    request: Request, testbed: Testbed, form: SnapshotForm, node: Node
) -> HttpResponse:
    (tree,) = trees_of(testbed, (form.guest,))
    now = timezone.localtime()
    context = {
        "testbed": testbed,
        "tree": tree,
        "node": node,
        "before": f"before-{now:%Y%m%d-%H%M%S}",
    }
    return render(request, f"snapshots/{form.verb}.html", context)


def _page(
    request: Request,
    testbed: Testbed,
    problem: TestbedError | None = None,
    form: SnapshotForm | None = None,
) -> HttpResponse:
    status = 200
    if problem is not None:
        status = CONFLICT if isinstance(problem, TestbedBusy) else UNPROCESSABLE
    if problem is not None and wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    guest = request.GET.get("guest", "")
    trees = trees_of(testbed, (guest,) if guest else None)
    if guest and not trees:
        raise Http404
    groups = [] if guest else groups_of(testbed, trees)
    if wants_json(request):
        body = {"guests": [tree.to_json() for tree in trees]}
        body["groups"] = [group.to_json() for group in groups]
        body["schedules"] = shapes(testbed)
        return JsonResponse(body)
    active = testbed.runs.active().select_related("asked_by").defer("plan")
    running = sorted(active, key=lambda run: not run.is_exclusive)
    is_usable = testbed.condition in Testbed.DEPLOYED
    context = {
        "testbed": testbed,
        "problem": problem,
        "form": form,
        "page": page_of(request, trees),
        "groups": groups,
        "latest": None if guest else group_of(testbed, trees, ""),
        "all": ALL,
        "query": {"guest": guest} if guest else {},
        "count_of_guests": len(trees),
        "count": sum(len(tree.nodes) for tree in trees),
        "unseen_run": unseen_run(testbed),
        "active_run": running[0] if running else None,
        "may_act": is_usable and request.may.allows(Act.SNAPSHOT),
        "schedules": schedules_of(testbed),
        "time_zone": settings.TIME_ZONE,
        "suggested": f"snap-{timezone.localtime():%Y%m%d-%H%M%S}",
    }
    is_part = request.htmx and problem is None
    template = "snapshots/_live.html" if is_part else "snapshots/page.html"
    return render(request, template, context, status=status)
