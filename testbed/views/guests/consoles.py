"""The page of a guest's consoles, and the tickets that it opens them with."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from orchestration.state.model import GuestState
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.consoles.tickets import Mode, ticket_for
from testbed.models import Testbed
from testbed.pages.overview import state_of


@not_stored
@login_required
@require_GET
def show(request: Request, address: Address, name: str) -> HttpResponse:
    """Show a guest's serial console; with `?mode=`, a shell in it or its screen."""
    testbed = testbed_for(request, address, Act.WATCH_CONSOLE)
    guest = _guest(testbed, name)
    context = {
        "testbed": testbed,
        "guest": guest,
        "mode": _mode(request.GET.get("mode")),
        "may_type": request.may.allows(Act.CONSOLE),
        "status": testbed.observed_guests.filter(name=name).first(),
    }
    return render(request, "guests/console.html", context)


@not_stored
@login_required
@require_POST
def ticket(request: Request, address: Address, name: str) -> HttpResponse:
    """Give a ticket for one opening; the shell is for those who may type alone."""
    testbed = testbed_for(request, address, Act.WATCH_CONSOLE)
    mode = _mode(request.POST.get("mode"))
    text = ticket_for(
        request.user,
        testbed,
        _guest(testbed, name).name,
        mode,
        typing=request.POST.get("typing") == "1",
        key=request.session.session_key or "",
    )
    return JsonResponse({"ticket": text})


def _mode(text: str | None) -> Mode:
    """Return the mode of a request; the serial console works everywhere."""
    try:
        return Mode(text or "")
    except ValueError:
        return Mode.SERIAL


def _guest(testbed: Testbed, name: str) -> GuestState:
    """Return a guest of the testbed's state. Raises: Http404."""
    state, _ = state_of(testbed)
    try:
        if state is not None:
            return state.guest(name)
    except KeyError:
        pass
    raise Http404("There is no such guest.")
