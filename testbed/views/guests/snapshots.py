"""The page of a testbed's snapshots, and the runs that it starts."""

from dataclasses import replace

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from orchestration.errors import (
    ExecutionRefused,
    SnapshotFailed,
    TestbedError,
)
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.access.addresses import Address
from testbed.access.permissions import Act, act_with, record_act, require
from testbed.access.visibility import Request, not_stored, page_of, testbed_for
from testbed.api.shapes import instructions_of, problem_json
from testbed.models import Testbed
from testbed.pages.guests.group_snapshots import group_of, groups_of
from testbed.pages.guests.schedules import schedules_of, shapes
from testbed.pages.guests.snapshot_losses import erased_by
from testbed.pages.guests.snapshots import GuestTree, Node, trees_of
from testbed.pages.overview import unseen_run
from testbed.runs.creation import create_snapshot
from testbed.testbeds.erasure.losses import Erasure, Unconfirmed
from testbed.testbeds.executions import matched
from testbed.views.erasing.question import not_confirmed_json
from testbed.views.guests.group_snapshots import act_on_group
from testbed.views.guests.snapshot_forms import ALL, SnapshotForm, read_form
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
    if form.verb in list(SnapshotVerb):
        require(request.user, act_with(SnapshotVerb(form.verb)), testbed)
    tree, is_person = _tree(testbed, form.guest), not wants_json(request)
    node = tree.named(form.name)
    is_nameless = form.verb == SnapshotVerb.RENAME and not form.title
    if is_nameless and node and is_person:
        return _question(request, testbed, form, tree)
    # A program may name what a run has taken since the last look.
    is_seen = is_person or unseen_run(testbed) is None
    taken = {form.guest: node.snapshot.created_at} if node and is_seen else {}
    wish = replace(form.wish(request.user.get_username()), taken=taken)
    leaves = {form.guest: _left(node)} if wish.verb is SnapshotVerb.RESTORE else {}
    erasure = _erasure(testbed, wish, tree, is_person=is_person)
    try:
        run = create_snapshot(
            testbed,
            request.user,
            wish,
            form.guest,
            leaves=leaves,
            erasure=erasure,
            confirm=form.confirm,
        )
    except Unconfirmed as exc:
        if not is_person:
            return not_confirmed_json(exc)
        return _question(request, testbed, form, tree, exc.erasure)
    words = f"{wish.sentence} of {form.guest}"
    record_act(request.user, act_with(wish.verb), testbed, words, run=run)
    if not is_person:
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _erasure(
    testbed: Testbed, wish: SnapshotWish, tree: GuestTree, *, is_person: bool
) -> Erasure | None:
    """Return what has to be confirmed. Raises: SnapshotFailed.

    A person is asked before each restore, and says with the answer whether the present
    state is kept, and whether children go, too. A program may name a snapshot that no
    look has seen, while a run has ended since the last one.
    """
    if not (wish.erases or (is_person and wish.verb is SnapshotVerb.RESTORE)):
        return None
    is_searched = is_person or wish.children or unseen_run(testbed) is None
    if tree.named(wish.name) is None and is_searched:
        raise SnapshotFailed(
            f"{tree.row.guest.name} had no snapshot {wish.name} at the last look.",
            hint="Choose another one.",
        )
    return erased_by(testbed, wish, tree, children=is_person or wish.children)


def _left(node: Node | None) -> str:
    """Return the status in which a restored guest is; running where nobody knows."""
    return node.snapshot.status if node else "running"


def _tree(testbed: Testbed, guest: str) -> GuestTree:
    """Return a guest with its snapshots. Raises: as `matched`; ExecutionRefused."""
    if matched(testbed, guest) != (guest,):
        raise ExecutionRefused(
            "A snapshot is of one guest.", hint="Write the guest's name, no pattern."
        )
    (tree,) = trees_of(testbed, (guest,))
    return tree


def _question(
    request: Request,
    testbed: Testbed,
    form: SnapshotForm,
    tree: GuestTree,
    erasure: Erasure | None = None,
) -> HttpResponse:
    context = {
        "testbed": testbed,
        "tree": tree,
        "node": tree.named(form.name),
        "below": tree.below(form.name),
        "before": form.before,
        "confirm": erasure.token if erasure else "",
        "has_changed": bool(form.confirm),
    }
    return render(request, f"snapshots/{form.verb}.html", context)


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
