"""Orphans: the things on the hosts that belong to no testbed. For lab admins only.

Also shows the progress of a deletion, of orphans or of images.
"""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.models import Cleanup
from testbed.orphans.adoption import adopt as adopt_orphan
from testbed.orphans.adoption import offer
from testbed.orphans.listing import (
    delete_orphans,
    oldest_look,
    orphan_groups,
)
from testbed.pages.waiting import unclaimed_cleanup
from testbed.runs.event_rows import clean
from testbed.views.problems import problem_page, status_of


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """List the orphans as last seen, with the possible actions."""
    require_admin(request.user)
    context = {
        "groups": [(group, offer(group)) for group in orphan_groups()],
        "looked_at": oldest_look(),
        "owners": User.objects.filter(is_active=True).order_by("username"),
        "cleanups": Cleanup.objects.latest_of(Cleanup.Subject.ORPHANS),
    }
    return render(request, "orphans/list.html", context)


@login_required
@require_POST
def delete(request: Request) -> HttpResponse:
    """Request the deletion of all orphans of a name, once the name was typed."""
    require_admin(request.user)
    name = request.POST.get("name", "")
    try:
        found = delete_orphans(name, request.POST.get("confirm", ""), request.user)
    except TestbedError as exc:
        return _refused(request, exc)
    return redirect("cleanup", found.pk)


@login_required
@require_POST
def adopt(request: Request) -> HttpResponse:
    """Bring a lost testbed back for an owner."""
    require_admin(request.user)
    name = clean(request.POST.get("name", ""))
    owner = get_object_or_404(
        User, is_active=True, username=clean(request.POST.get("owner", ""))
    )
    try:
        found = adopt_orphan(name, owner, request.user)
    except TestbedError as exc:
        return _refused(request, exc)
    messages.success(request, f"{name} is there as {found.full_name}.")
    return redirect("testbed", found)


@login_required
@require_GET
def cleanup(request: Request, pk: int) -> HttpResponse:
    """Show a deletion's progress; htmx gets the part that changes."""
    require_admin(request.user)
    found = get_object_or_404(Cleanup.objects.select_related("asked_by"), pk=pk)
    template = "orphans/_cleanup.html" if request.htmx else "orphans/cleanup.html"
    context = {
        "cleanup": found,
        "items": found.items.all(),
        "waiting": unclaimed_cleanup(found),
    }
    return render(request, template, context)


def _refused(request: Request, problem: TestbedError) -> HttpResponse:
    back = reverse("orphans")
    return problem_page(request, problem, status=status_of(problem), back=back)
