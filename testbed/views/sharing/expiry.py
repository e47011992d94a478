"""The end of a testbed that is up: extend it, and choose what happens then."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from orchestration.errors import TestbedError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, testbed_for
from testbed.expiry.changes import choose, extend, wanted_end
from testbed.expiry.shown import shown_end
from testbed.models import Testbed
from testbed.models.expiry import database_now, expiry_of
from testbed.reservations.moments import in_words
from testbed.views.problems import problem_page, status_of, wants_json


@login_required
@require_http_methods(["GET", "POST"])
def change(request: Request, address: Address) -> HttpResponse:
    """Extend a testbed, or choose what its end does with `at_end`."""
    act = Act.EXTEND if request.method == "POST" else Act.SEE
    testbed = testbed_for(request, address, act)
    back = reverse("testbed", args=[address])
    if request.method == "POST":
        try:
            _change(request, testbed)
        except TestbedError as exc:
            return problem_page(request, exc, status=status_of(exc), back=back)
    if wants_json(request):
        found = testbed_for(request, address, Act.SEE)
        shown = shown_end(found, request.may, database_now())
        return JsonResponse({"expiry": shown.json()})
    return redirect(f"{back}#expiry")


def _change(request: Request, testbed: Testbed) -> None:
    """Do what the form asks for. Raises: TestbedError, NotAllowed."""
    now, form = database_now(), request.POST
    if "at_end" in form:
        expiry = choose(testbed, request.user, form["at_end"], now)
        done = f"At the end of {testbed}: {expiry.get_action_display()}."
    else:
        until = wanted_end(form, expiry_of(testbed), now)
        extend(testbed, request.user, until, now)
        done = f"Testbed {testbed} ends at {in_words(until)}."
    if not wants_json(request):
        messages.success(request, done)
