"""The page of a guest's consoles, and the tickets that it opens them with."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from orchestration.state.model import GuestState
from testbed.access.permissions import Act, may, require
from testbed.access.sessions import hashed
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.consoles.tickets import Mode, Ticket, issue
from testbed.models import Testbed
from testbed.pages.overview import state_of


@not_stored
@login_required
@require_GET
def show(request: Request, slug: str, name: str) -> HttpResponse:
    """Show a guest's serial console, or with `?mode=shell` a shell in it."""
    testbed = testbed_for(request, slug)
    require(request.user, Act.WATCH_CONSOLE, testbed)
    guest = _guest(testbed, name)
    is_shell = request.GET.get("mode") == Mode.SHELL
    context = {
        "testbed": testbed,
        "guest": guest,
        "mode": Mode.SHELL if is_shell else Mode.SERIAL,
        "may_type": may(request.user, Act.CONSOLE, testbed),
        "status": testbed.observed_guests.filter(name=name).first(),
    }
    return render(request, "guests/console.html", context)


@not_stored
@login_required
@require_POST
def ticket(request: Request, slug: str, name: str) -> HttpResponse:
    """Give a ticket for one opening; the shell is for those who may type alone."""
    testbed = testbed_for(request, slug)
    is_shell = request.POST.get("mode") == Mode.SHELL
    wants_to_type = is_shell or request.POST.get("typing") == "1"
    act = Act.CONSOLE if wants_to_type else Act.WATCH_CONSOLE
    require(request.user, act, testbed)
    wanted = Ticket(
        user_id=request.user.pk,
        user=request.user.get_username(),
        session=hashed(request.session.session_key or ""),
        testbed_id=testbed.pk,
        testbed=testbed.slug,
        guest=_guest(testbed, name).name,
        mode=Mode.SHELL if is_shell else Mode.SERIAL,
        may_type=wants_to_type,
    )
    return JsonResponse({"ticket": issue(wanted)})


def _guest(testbed: Testbed, name: str) -> GuestState:
    """Return a guest of the testbed's state. Raises: Http404."""
    state, _ = state_of(testbed)
    try:
        if state is not None:
            return state.guest(name)
    except KeyError:
        pass
    raise Http404("There is no such guest.")
