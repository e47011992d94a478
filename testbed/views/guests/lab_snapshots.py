"""Acts on snapshots of all testbeds, for lab admins: asked here, chosen in the admin."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.plan.snapshots import SnapshotVerb
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, not_stored
from testbed.models import SnapshotOrder
from testbed.snapshots.lab import Choice, chosen, order, refresh_snapshots
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.problems import problem_page, status_of

LIST = "admin:testbed_labsnapshot_changelist"
ORDERS = "admin:testbed_snapshotorder_changelist"


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def act(request: Request) -> HttpResponse:
    """Ask before snapshots are deleted or restored; then order it."""
    require_admin(request.user)
    sent = request.POST if request.method == "POST" else request.GET
    keeps = bool(sent.get("keep"))
    try:
        choice = chosen(sent.get("verb", ""), sent.getlist("pick"), keeps=keeps)
        if request.method == "GET":
            return ask(request, _question(choice), choice.erasure)
        orders = order(choice, request.user, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _question(choice))
    except TestbedError as exc:
        return problem_page(request, exc, status=status_of(exc), back=reverse(LIST))
    started = SnapshotOrder.objects.filter(
        pk__in=[one.pk for one in orders], run__isnull=False
    ).count()
    waiting = len(orders) - started
    words = f"{count_of(started, 'run')} started"
    later = " A testbed has one at a time: the others follow." if waiting else ""
    messages.success(request, f"{words}, {waiting} waiting.{later}")
    return redirect(ORDERS)


@login_required
@require_POST
def refresh(request: Request) -> HttpResponse:
    """Read all snapshots whole with the next look at the hosts, which is requested."""
    require_admin(request.user)
    refresh_snapshots()
    messages.info(
        request, "The hosts are being read. Load this page again in some seconds."
    )
    return redirect(LIST)


def _question(choice: Choice) -> Question:
    number = count_of(len(choice.rows), "snapshot")
    guests = count_of(len(choice.rows), "guest")
    is_deletion = choice.verb is SnapshotVerb.DELETE
    restored = (
        "Each guest ends at once, and returns to its snapshot: running, paused or off, "
        "as it was then. "
    )
    lost = "The present state of each is lost. This cannot be undone."
    kept = "The present state of each is kept as a snapshot first."
    return Question(
        title=f"Delete {number}?" if is_deletion else f"Restore {guests}?",
        text="Their guests can then no longer return to these states. Snapshots below "
        "them stay, and so does the present state. This cannot be undone."
        if is_deletion
        else restored + (kept if choice.keeps else lost),
        address=reverse("lab-snapshots-act"),
        button=f"Delete {number}" if is_deletion else f"Restore {guests}",
        back=reverse(LIST),
        icon="trash" if is_deletion else "clock",
        keep="Keep them" if is_deletion else "Leave as is",
        label="To be erased" if is_deletion else "To be restored",
        fields={
            "verb": choice.verb.value,
            "keep": "on" if choice.keeps else "",
            "pick": [str(row.pk) for row in choice.rows],
        },
        section=("Snapshots", reverse(LIST)),
    )
