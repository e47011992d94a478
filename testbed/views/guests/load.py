"""The load of one guest over time, for its charts and for programs."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from orchestration.errors import StateError
from testbed.access.addresses import Address
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.pages.guests.page import find_guest
from testbed.samples.charts import guest_load
from testbed.samples.reading import Period
from testbed.views.problems import problem_page


@not_stored
@login_required
@require_GET
def show(request: Request, address: Address, name: str) -> HttpResponse:
    """Return the samples of one guest in the last hour or week."""
    testbed = testbed_for(request, address, Act.SEE)
    try:
        found = find_guest(testbed, name)
    except StateError as exc:
        back = reverse("testbed", args=[address])
        return problem_page(request, exc, status=422, back=back)
    if found is None:
        raise Http404(f"Testbed {testbed} has no guest {name!r}.")
    period = Period.of(request.GET.get("load"))
    load = guest_load(testbed, name, found.guest.memory_mib, period)
    return JsonResponse(load.to_json())
