"""Protect the data of a testbed or of one guest, and lift that."""

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
from testbed.models import Testbed
from testbed.runs.event_rows import clean
from testbed.testbeds.erasure.protection import change_protection, protections_of
from testbed.views.problems import problem_page, status_of, wants_json


@login_required
@require_http_methods(["GET", "POST"])
def change(request: Request, address: Address) -> HttpResponse:
    """Protect the testbed, or the guest that `guest` names; with `lift`, no longer."""
    act = Act.PROTECT if request.method == "POST" else Act.SEE
    testbed = testbed_for(request, address, act)
    guest = clean(request.POST.get("guest", ""))
    back = reverse("testbed", args=[address])
    if guest and "/" not in guest:
        back = reverse("guest", args=[address, guest])
    if request.method == "POST":
        try:
            _change(request, testbed, guest)
        except TestbedError as exc:
            return problem_page(request, exc, status=status_of(exc), back=back)
    if wants_json(request):
        return JsonResponse({"protections": _shapes(testbed)})
    return redirect(back)


def _change(request: Request, testbed: Testbed, guest: str) -> None:
    """Set or lift one. Raises: TestbedBusy, StateError."""
    is_lifted = "lift" in request.POST
    words = change_protection(testbed, request.user, guest, is_lifted=is_lifted)
    if not wants_json(request):
        messages.success(request, f"{words[0].upper()}{words[1:]}.")


def _shapes(testbed: Testbed) -> list[dict[str, object]]:
    return [
        {"guest": found.guest, "set_by": str(found.set_by), "set_at": found.set_at}
        for found in protections_of(testbed).values()
    ]
