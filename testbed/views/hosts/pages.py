"""The testbed hosts for all users, with all guests there for lab admins."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.permissions import is_admin
from testbed.access.visibility import Request, host_for, not_stored, page_of
from testbed.api.shapes import host_json
from testbed.models import Host, ObservedGuest, Testbed
from testbed.pages.overview import UP, guests_on_hosts
from testbed.pages.reservations.shown import next_on
from testbed.samples.charts import host_load
from testbed.samples.reading import Period
from testbed.views.problems import wants_json


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show all hosts with their load and guests; htmx gets the table only."""
    counts = guests_on_hosts()
    hosts = [(host, counts.get(host.name, 0)) for host in Host.objects.all()]
    if wants_json(request):
        for_admin = is_admin(request.user)
        shapes = [host_json(host, n, for_admin=for_admin) for host, n in hosts]
        return JsonResponse({"hosts": shapes})
    template = "hosts/_table.html" if request.htmx else "hosts/list.html"
    return render(request, template, {"hosts": hosts})


@login_required
@require_GET
def show(request: Request, name: str) -> HttpResponse:
    """Show one host with its charts; htmx gets the part that changes by itself."""
    host = host_for(request, name)
    running = ObservedGuest.objects.filter(host=name, status__in=UP)
    own = running.filter(testbed__in=Testbed.objects.all().visible_to(request.user))
    busiest = own.select_related("testbed__owner").order_by("-cpu_percent", "name")
    page = page_of(request, busiest)
    for guest in page:
        guest.testbed.seen_by(request.user)
    context = {
        "host": host,
        "guests": running.count(),
        "page": page,
        "query": {"load": Period.of(request.GET.get("load")).value},
        "reservations": next_on(host, request.user),
    }
    if request.htmx:
        return render(request, "hosts/_page.html", context)
    load = host_load(host, Period.of(request.GET.get("load")))
    return render(request, "hosts/page.html", context | {"load": load})


@not_stored
@login_required
@require_GET
def load(request: Request, name: str) -> HttpResponse:
    """Return the samples of one host in the last hour or week."""
    host = host_for(request, name)
    found = host_load(host, Period.of(request.GET.get("load")))
    return JsonResponse(found.to_json())
