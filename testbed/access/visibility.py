"""Finds objects for a user and an act: 404 for strangers, 403 for too low a role.

Every view takes its objects from here, and so names the act that it is for.
"""

from typing import TYPE_CHECKING, TypeVar

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import cache_control
from django_htmx.middleware import HtmxDetails

from orchestration.plan.model import Command
from testbed.access.addresses import Address, find, find_moved
from testbed.access.permissions import (
    Act,
    NotAllowed,
    Permissions,
    permissions_of,
    refusal,
    seen_runs,
)
from testbed.models import Host, Reservation, Run, Testbed
from testbed.models.runs import RunQuerySet

if TYPE_CHECKING:
    from django.core.paginator import _SupportsPagination

PAGE_SIZE = 50
# For views of files, artefacts, logs and states: they hold what users keep secret.
not_stored = cache_control(no_store=True, private=True)
Thing = TypeVar("Thing")


class Request(HttpRequest):
    """A request of a signed-in user, with htmx's details.

    `may` has the user's permissions to the object that a view has found.
    """

    user: User
    htmx: HtmxDetails
    may: Permissions


class Moved(Exception):
    """A testbed has another address by now; `views/addresses.py` leads there."""

    def __init__(self, testbed: Testbed) -> None:
        super().__init__(str(testbed))
        self.testbed = testbed


def testbed_for(request: Request, address: Address, act: Act) -> Testbed:
    """Return the testbed for an act. Raises: Http404, NotAllowed, Moved."""
    visible = Testbed.objects.all().visible_to(request.user)
    found = find(visible, address)
    if found is None:
        if moved := find_moved(visible, address):
            raise Moved(moved)
        raise Http404("There is no such testbed.")
    found.seen_by(request.user)
    _require(request, act, found)
    return found


def run_for(request: Request, pk: int, act: Act) -> Run:
    """Return the run for an act. Raises: Http404, NotAllowed."""
    visible = seen_runs(request.user)
    people = ("testbed__owner", "asked_by", "cancel_requested_by")
    rows = visible.select_related(*people).defer("testbed__started")
    found = get_object_or_404(rows, pk=pk)
    found.testbed.seen_by(request.user)
    _require(request, act, found.testbed)
    return found


def execution_for(request: Request, pk: int, act: Act = Act.SEE) -> Run:
    """Return the run of a command for guests. Raises: Http404, NotAllowed."""
    run = run_for(request, pk, act)
    if run.command != Command.EXEC:
        raise Http404("This run has no answers.")
    return run


def host_for(request: Request, name: str) -> Host:
    """Return the host, which every user may see. Raises: Http404 without one."""
    return get_object_or_404(Host, name=name)


def reservation_for(request: Request, pk: int) -> Reservation:
    """Return a reservation whose holder this user may read. Raises: Http404."""
    visible = Reservation.objects.visible_to(request.user)
    return get_object_or_404(visible.select_related("host", "user", "group"), pk=pk)


def visible_runs(request: Request, testbed: Testbed) -> RunQuerySet:
    """Return the runs of a testbed that this user may see."""
    return seen_runs(request.user).filter(testbed=testbed)


def permissions_context(request: HttpRequest) -> dict[str, object]:
    """Give templates `may`; a page without an object allows nothing."""
    return {"may": getattr(request, "may", Permissions())}


def page_of(
    request: Request, things: "_SupportsPagination[Thing]", field: str = "page"
) -> "Page[Thing]":
    """Return the page that `?page=` names; a wrong number shows the nearest."""
    return Paginator(things, PAGE_SIZE).get_page(request.GET.get(field))


def _require(request: Request, act: Act, testbed: Testbed) -> None:
    request.may = permissions_of(request.user, testbed)
    if not request.may.allows(act):
        raise NotAllowed(refusal(request.may, act, testbed), act, testbed)
