"""The page of a testbed's snapshots, and the runs that it starts."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, page_of, testbed_for
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Testbed
from testbed.pages.guests.group_snapshots import group_of, groups_of
from testbed.pages.guests.schedules import schedules_of, shapes
from testbed.pages.guests.snapshot_acts import (
    ALL,
    SnapshotForm,
    act_on_guest,
    require_verb,
    tree_of,
)
from testbed.pages.guests.snapshots import GuestTree, trees_of
from testbed.pages.overview import unseen_run
from testbed.testbeds.erasure.losses import Erasure, Unconfirmed
from testbed.views.erasing.question import not_confirmed_json
from testbed.views.guests.group_snapshots import act_on_group
from testbed.views.guests.snapshot_forms import read_form
from testbed.views.problems import status_of, wants_json

# Of each guest, on the page of all; its own page has the rest.
MOST_SHOWN = 50


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def snapshots(request: Request, address: Address) -> HttpResponse:
    """Show the snapshots of a testbed's guests, or start a run on one of them."""
    if request.method == "GET":
        return _page(request, testbed_for(request, address, Act.SEE))
    testbed = testbed_for(request, address, Act.SNAPSHOT)
    form = SnapshotForm()
    try:
        form = read_form(request)
        act = act_on_group if form.is_group else _act
        return act(request, testbed, form)
    except TestbedError as exc:
        return _page(request, testbed, exc, form)


def _act(request: Request, testbed: Testbed, form: SnapshotForm) -> HttpResponse:
    """Ask first where something is lost, else start the run."""
    require_verb(testbed, request.user, form)
    tree, is_person = tree_of(testbed, form.guest), not wants_json(request)
    is_nameless = form.verb == SnapshotVerb.RENAME and not form.title
    if is_nameless and tree.named(form.name) and is_person:
        return _question(request, testbed, form, tree)
    try:
        run = act_on_guest(testbed, request.user, form, tree, is_person=is_person)
    except Unconfirmed as exc:
        if not is_person:
            return not_confirmed_json(exc)
        return _question(request, testbed, form, tree, exc.erasure)
    if not is_person:
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _question(
    request: Request,
    testbed: Testbed,
    form: SnapshotForm,
    tree: GuestTree,
    erasure: Erasure | None = None,
) -> HttpResponse:
    is_all = form.every and erasure is not None
    every = tuple(node.snapshot for node in tree.nodes) if is_all else ()
    context = {
        "testbed": testbed,
        "tree": tree,
        "node": tree.named(form.name),
        "below": every or tree.below(form.name),
        "in_group": any(one.label.group for one in every),
        "before": form.before,
        "confirm": erasure.token if erasure else "",
        "has_changed": bool(form.confirm),
    }
    name = "delete_all" if is_all else form.verb
    return render(request, f"snapshots/{name}.html", context)


def _page(
    request: Request,
    testbed: Testbed,
    problem: TestbedError | None = None,
    form: SnapshotForm | None = None,
) -> HttpResponse:
    status = status_of(problem) if problem else 200
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
    guests = page_of(request, trees)
    nodes = page_of(request, trees[0].nodes) if guest else None
    page, shown_groups = nodes or guests, page_of(request, groups, "groups")
    query = {"guest": guest} if guest else {}
    groups_at = {"groups": shown_groups.number} if shown_groups.number > 1 else {}
    shown = [(tree, nodes or tree.nodes[:MOST_SHOWN]) for tree in guests]
    context = {
        "testbed": testbed,
        "problem": problem,
        "form": form,
        "page": page,
        "page_query": query | groups_at,
        "shown": shown,
        "groups": shown_groups,
        "groups_query": {"page": page.number} if page.number > 1 else {},
        "latest": None if guest else group_of(testbed, trees, ""),
        "all": ALL,
        "query": query,
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
