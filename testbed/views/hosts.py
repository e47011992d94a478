"""The testbed hosts for all users; admins change them in the admin."""

from django.contrib.auth.decorators import login_required
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.visibility import Request
from testbed.models import Host, ObservedGuest
from testbed.pages.overview import UP


@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show all hosts with their load and guests; htmx gets the table only."""
    running = ObservedGuest.objects.filter(status__in=UP).order_by()
    counts = dict(running.values_list("host").annotate(count=Count("id")))
    hosts = [(host, counts.get(host.name, 0)) for host in Host.objects.all()]
    template = "hosts/_table.html" if request.htmx else "hosts/list.html"
    return render(request, template, {"hosts": hosts})
