"""Finds the objects that a user may see; strangers get 404, not 403.

Every view takes its objects from here.
"""

from typing import TYPE_CHECKING, TypeVar

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import cache_control
from django_htmx.middleware import HtmxDetails

from testbed.models import Host, Run, Testbed
from testbed.models.runs import RunQuerySet

if TYPE_CHECKING:
    from django.core.paginator import _SupportsPagination

PAGE_SIZE = 50
# For views of files, artefacts, logs and states: they hold what users keep secret.
not_stored = cache_control(no_store=True, private=True)
Thing = TypeVar("Thing")


class Request(HttpRequest):
    """A request of a signed-in user, with htmx's details."""

    user: User
    htmx: HtmxDetails


def testbed_for(request: Request, slug: str) -> Testbed:
    """Return the testbed. Raises: Http404 when this user may not see it."""
    visible = Testbed.objects.all().visible_to(request.user)
    return get_object_or_404(visible.select_related("owner"), slug=slug)


def run_for(request: Request, pk: int) -> Run:
    """Return the run. Raises: Http404 when this user may not see it."""
    visible = Run.objects.all().visible_to(request.user)
    people = ("testbed__owner", "asked_by", "cancel_requested_by")
    return get_object_or_404(visible.select_related(*people), pk=pk)


def host_for(request: Request, name: str) -> Host:
    """Return the host, which every user may see. Raises: Http404 without one."""
    return get_object_or_404(Host, name=name)


def visible_runs(request: Request, testbed: Testbed) -> RunQuerySet:
    """Return the runs of a testbed that this user may see."""
    return Run.objects.filter(testbed=testbed).visible_to(request.user)


def require_admin(request: Request) -> None:
    """Let lab admins pass. Raises: Http404 for all other users."""
    if not (request.user.is_active and request.user.is_superuser):
        raise Http404("This page is for admins.")


def page_of(request: Request, things: "_SupportsPagination[Thing]") -> "Page[Thing]":
    """Return the page that `?page=` names; a wrong number shows the nearest."""
    return Paginator(things, PAGE_SIZE).get_page(request.GET.get("page"))
