"""Starts a run that does one thing to chosen guests: a power verb, or Up of them.

Both come from the buttons beside the guests, or from a program as JSON, and both ask
before something is lost.
"""

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from pydantic import BaseModel

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.plan.model import Kind
from orchestration.plan.power import Verb, verb_named
from orchestration.plan.selected import way_named
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.api.shapes import instructions_of
from testbed.models import Run, Testbed
from testbed.models.runs import require_no_run
from testbed.pages.overview import guests_of, state_of
from testbed.runs.starting import start_guest_up, start_power
from testbed.templatetags.display import display_of
from testbed.testbeds.erasure.losses import (
    Erasure,
    Loss,
    Sort,
    Unconfirmed,
    require_confirmed,
)
from testbed.testbeds.executions import matched
from testbed.views.erasing.question import Question, confirm_of, not_confirmed
from testbed.views.execution.form import selection_of
from testbed.views.execution.refusals import form_address, refused
from testbed.views.forms import read_json
from testbed.views.problems import JSON, wants_json


class Wish(BaseModel):
    """An act on guests as it is sent: a power `verb`, or a `mode` of Up."""

    verb: str = ""
    mode: str = ""
    selection: str = ""
    confirm: str = ""


Begin = Callable[[Request, Testbed, Wish], Run]


@login_required
@form_address
def power(request: Request, address: Address) -> HttpResponse:
    """Change the power of the guests of a selection."""
    return _begun(request, address, Act.POWER, _power)


@login_required
@form_address
def up(request: Request, address: Address) -> HttpResponse:
    """Bring the guests of a selection up: as they are, with new disks, or scripts."""
    return _begun(request, address, Act.UP_GUESTS, _up)


def _begun(request: Request, address: Address, act: Act, begin: Begin) -> HttpResponse:
    testbed = testbed_for(request, address, act)
    try:
        wish = _wish(request)
        run = begin(request, testbed, wish)
    except Unconfirmed as exc:
        return not_confirmed(request, exc, _question(testbed, wish, exc))
    except TestbedError as exc:
        return refused(request, testbed, exc)
    if wants_json(request):
        return JsonResponse({"run": run.pk, "instructions": instructions_of(run)})
    return redirect("run", run.pk)


def _power(request: Request, testbed: Testbed, wish: Wish) -> Run:
    """Begin a power verb. Raises: TestbedError; Unconfirmed, for persons alone."""
    verb = verb_named(wish.verb)
    if verb.loses_data and not wants_json(request):
        require_no_run(testbed.runs.all())
        require_confirmed(_unsaved(testbed, verb, wish.selection), wish.confirm)
    return start_power(testbed, request.user, verb, wish.selection)


def _up(request: Request, testbed: Testbed, wish: Wish) -> Run:
    """Begin an Up of guests. Raises: TestbedError, PermissionDenied."""
    way = way_named(wish.mode)
    return start_guest_up(
        testbed, request.user, way, wish.selection, confirm=wish.confirm
    )


def _wish(request: Request) -> Wish:
    """Read the request. Raises: ExecutionRefused."""
    if request.content_type != JSON:
        return Wish(
            verb=request.POST.get("verb", ""),
            mode=request.POST.get("mode", ""),
            selection=selection_of(request.POST),
            confirm=confirm_of(request),
        )
    return read_json(request, Wish, "an act on guests")


def _unsaved(testbed: Testbed, verb: Verb, selection: str) -> Erasure:
    """Return the guests that lose unsaved data. Raises: SelectionFailed, StateError."""
    names = matched(testbed, selection)
    losses = tuple(
        Loss(
            Sort.UNSAVED,
            row.guest.name,
            row.guest.host,
            reason=display_of(row.status)[2],
        )
        for row in guests_of(testbed, state_of(testbed)[0])
        if row.guest.name in names
    )
    return Erasure(verb.kind.value, str(testbed.pk), losses)


def _question(testbed: Testbed, wish: Wish, refusal: Unconfirmed) -> Question:
    back = reverse("testbed", args=[testbed])
    fields = {"selection": wish.selection}
    if not wish.verb:
        disks = count_of(len(refusal.erasure.losses), "disk")
        guests = count_of(len(refusal.erasure.losses), "guest")
        way = way_named(wish.mode)
        return Question(
            title=f"{way.title} {guests} of {testbed}?",
            text="The disks of these guests are erased, with everything that was written "
            "in them, and made again from their images. A guest that runs is ended at "
            "once. Its setup script runs again. This cannot be undone. Other guests are "
            "not touched.",
            address=reverse("testbed-up-guests", args=[testbed]),
            answer=("mode", way.mode.value),
            button=f"{way.title}, and erase {disks}",
            back=back,
            fields=fields,
            testbed=testbed,
        )
    verb = verb_named(wish.verb)
    guests = count_of(len(refusal.erasure.losses), "guest")
    softer = "Reboot" if verb.kind is Kind.RESET else "Shut down"
    return Question(
        title=f"{verb.title} {guests} of {testbed}?",
        text=f"{verb.title} ends each guest's system at once, as a power cut does. Data "
        f"that it has not written to its disk is lost. {softer} lets it save them.",
        address=reverse("testbed-power", args=[testbed]),
        answer=("verb", verb.kind.value),
        button=f"{verb.title} {guests}",
        icon="stop",
        label="Guests that lose unsaved data",
        back=back,
        keep="Leave as is",
        fields=fields,
        testbed=testbed,
    )
