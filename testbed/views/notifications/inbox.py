"""A user's own notifications; those of other users are not there."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from testbed.access.visibility import Request, not_stored, page_of
from testbed.models import Notification
from testbed.models.notifications.choices import Channel, Kind
from testbed.models.notifications.notifications import MOST_KEPT
from testbed.notifications.choosing import choice_of
from testbed.views.parts import part_of

MOST_NEW = 5
MOST_COUNTED = 99
MOST_DIGITS = 18


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show what the user was told, the newest first."""
    rows = Notification.objects.of(request.user)
    newest = rows.values_list("pk", flat=True).first()
    unread = Notification.objects.unread(request.user).exists()
    context = {"page": page_of(request, rows[:MOST_KEPT]), "has_unread": unread}
    context["newest"] = newest
    return render(request, "notifications/list.html", context)


@not_stored
@login_required
@require_GET
def show(request: Request, pk: int) -> HttpResponse:
    """Go to what a notification is about; it counts as read then."""
    row = get_object_or_404(Notification, pk=pk, user=request.user)
    unread = Notification.objects.unread(request.user).filter(pk=pk)
    unread.update(read_at=timezone.now())
    return redirect(row.path or "notifications")


@login_required
@require_POST
def read(request: Request) -> HttpResponse:
    """Mark as read all that there was when the page was shown."""
    newest = request.POST.get("newest", "")
    if newest.isascii() and newest.isdecimal() and len(newest) <= MOST_DIGITS:
        Notification.objects.read_up_to(request.user, int(newest))
    return redirect("notifications")


@not_stored
@login_required
@require_GET
@part_of("notifications")
def bell(request: Request) -> HttpResponse:
    """Send the number of what is unread, for the header of every page."""
    rows = Notification.objects.unread(request.user)
    count = rows[: MOST_COUNTED + 1].count()
    return render(request, "notifications/_bell.html", {"count": count})


@not_stored
@login_required
@require_GET
def new(request: Request) -> JsonResponse:
    """Send the newest that is unread, which the browser shows on the screen."""
    choice = choice_of(request.user)
    kinds = [kind for kind in Kind if choice.wants(kind, Channel.BROWSER)]
    rows = Notification.objects.unread(request.user).filter(kind__in=kinds)[:MOST_NEW]
    found = [
        {
            "id": row.pk,
            "title": row.title,
            "text": row.text,
            "address": reverse("notification", args=[row.pk]),
        }
        for row in rows
    ]
    return JsonResponse({"notifications": found})
