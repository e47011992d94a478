"""The calendar of reservations, and the page of one."""

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.visibility import Request, not_stored, page_of, reservation_for
from testbed.models import Host
from testbed.models.expiry import database_now
from testbed.pages.reservations.shown import shown, shown_as, used_of
from testbed.pages.reservations.week import hosts_in, rows_of_week, week_of
from testbed.reservations.holders import may_change
from testbed.views.problems import wants_json


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show the reserved, used and free capacity of each host in one week."""
    now = database_now()
    week = week_of(request.GET.get("week", ""), now)
    page = page_of(request, Host.objects.all(), "hosts")
    hosts = hosts_in(week, list(page), now)
    rows = page_of(request, rows_of_week(week, request.user))
    found = shown(rows.object_list, request.user, now)
    if wants_json(request):
        shape = {"hosts": [one.json() for one in hosts], "week": week.name}
        listed = [one.json() for one in found]
        return JsonResponse(
            shape | {"reservations": listed, "pages": rows.paginator.num_pages}
        )
    context = {
        "week": week,
        "hosts": hosts,
        "host_page": page,
        "page": rows,
        "now": now,
    }
    context |= {"reservations": found, "query": {"week": week.name}}
    context |= {"present": week_of("", now), "zone": settings.TIME_ZONE}
    return render(request, "reservations/week.html", context)


@not_stored
@login_required
@require_GET
def show(request: Request, pk: int) -> HttpResponse:
    """Show one reservation to its holder and to lab admins."""
    row, now = reservation_for(request, pk), database_now()
    found = shown_as(row, now, may_read=True)
    if wants_json(request):
        return JsonResponse({"reservation": found.json()})
    context = {
        "one": found,
        "used": used_of(row) if found.state == "current" else None,
        "may_change": found.is_open and may_change(request.user, row),
    }
    return render(request, "reservations/page.html", context)
