"""Adding a host by its requirements, for lab admins. No view speaks to a host."""

from collections.abc import Callable
from functools import partial

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)
from django_htmx.http import HttpResponseClientRedirect

from orchestration.errors import TestbedError
from orchestration.transport.ssh.first_contact import host_key_of
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, not_stored
from testbed.hosts.adding import (
    ask_for_check,
    begin,
    confirm_key,
    done,
    lacks_optional,
    may_be_added,
    rows_of,
)
from testbed.hosts.adding import discard as discards
from testbed.hosts.forms import NewHostForm
from testbed.hosts.requirements import TITLES
from testbed.models import Host, NewHost
from testbed.pages.waiting import unclaimed_check
from testbed.views.problems import problem_page, status_of


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Begin to add a host, or show those that are being added."""
    require_admin(request.user)
    form = NewHostForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        begin(form.instance, request.user)
        return redirect("new-host", form.instance.name)
    context = {"form": form, "begun": NewHost.objects.all()}
    status = 422 if form.is_bound else 200
    return render(request, "hosts/new.html", context, status=status)


@not_stored
@login_required
@require_GET
def show(request: Request, name: str) -> HttpResponse:
    """Show the requirements of a new host; htmx gets the part that changes."""
    require_admin(request.user)
    if Host.objects.filter(name=name).exists():
        return _go(request, reverse("host", args=[name]))
    new = get_object_or_404(NewHost, name=name)
    rows = rows_of(new)
    context = {
        "new": new,
        "rows": rows,
        "may_be_added": may_be_added(rows),
        "lacks_optional": lacks_optional(rows),
        "seen": host_key_of(new.seen_key) if new.seen_key else None,
        "waiting": unclaimed_check(new),
    }
    template = "hosts/_new_host.html" if request.htmx else "hosts/new_host.html"
    return render(request, template, context)


@login_required
@require_POST
def check(request: Request, name: str) -> HttpResponse:
    """Ask for a check of all requirements, or of one."""
    asked = request.POST.get("requirement", "")
    wanted = asked if asked in TITLES else NewHost.ALL
    by = request.user.get_username()
    ask = partial(ask_for_check, wanted=wanted, by=by)
    return _done(request, name, ask, "checked it again")


@login_required
@require_POST
def confirm(request: Request, name: str) -> HttpResponse:
    """Pin the key whose fingerprint was compared."""
    fingerprint = request.POST.get("fingerprint", "")
    by = request.user.get_username()
    pin = partial(confirm_key, fingerprint=fingerprint, by=by)
    return _done(request, name, pin, f"confirmed its key {fingerprint}")


@login_required
@require_POST
def add(request: Request, name: str) -> HttpResponse:
    """Ask the worker to check all once more, and to add the host."""
    by = request.user.get_username()
    ask = partial(ask_for_check, wanted=NewHost.ADD, by=by)
    return _done(request, name, ask, "asked to add it")


@login_required
@require_POST
def discard(request: Request, name: str) -> HttpResponse:
    """Forget a host that is being added; nothing on it was changed."""
    require_admin(request.user)
    new = get_object_or_404(NewHost, name=name)
    discards(new, request.user)
    return redirect("new-hosts")


def _go(request: Request, address: str) -> HttpResponse:
    if request.htmx:
        return HttpResponseClientRedirect(address)
    return HttpResponseRedirect(address)


def _done(
    request: Request, name: str, act: Callable[[NewHost], None], what: str
) -> HttpResponse:
    """Do an act of a lab admin on a host that is being added, and record it."""
    require_admin(request.user)
    new = get_object_or_404(NewHost, name=name)
    try:
        done(new, act, request.user, what)
    except TestbedError as exc:
        back = reverse("new-host", args=[name])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return redirect("new-host", name)
