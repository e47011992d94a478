"""The page of one guest, as HTML and as JSON."""

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from orchestration.errors import StateError
from orchestration.plan.power import VERBS
from orchestration.state.model import GuestState
from testbed.access.addresses import Address
from testbed.access.permissions import Act, Permissions, ways_for
from testbed.access.visibility import Request, not_stored, testbed_for, visible_runs
from testbed.models import Testbed
from testbed.pages.guests.page import GuestPage, find_guest, guest_page
from testbed.samples.charts import guest_load
from testbed.samples.reading import Period
from testbed.ssh.config import SshWay, ways_into, web_name
from testbed.ssh.status import key_status
from testbed.testbeds.capacity import Lab
from testbed.testbeds.erasure.protection import protections_of
from testbed.views.problems import problem_page, wants_json


@not_stored
@login_required
@require_GET
def show(request: Request, address: Address, name: str) -> HttpResponse:
    """Show one guest; htmx gets the part that changes by itself, programs JSON."""
    testbed, lab = testbed_for(request, address, Act.SEE), Lab()
    try:
        page = guest_page(testbed, name, visible_runs(request, testbed), lab)
    except StateError as exc:
        back = reverse("testbed", args=[address])
        return problem_page(request, exc, status=422, back=back)
    if page is None:
        raise Http404(f"Testbed {testbed} has no guest {name!r}.")
    if wants_json(request):
        return JsonResponse(page.to_json())
    context = _context(request, testbed, page, lab) | {"all_hosts": lab.hosts}
    if request.htmx:  # the charts of the page stay, and ask for themselves
        return render(request, "guests/_page.html", context)
    period = Period.of(request.GET.get("load"))
    load = guest_load(testbed, name, page.row.guest.memory_mib, period)
    return render(request, "guests/page.html", context | {"load": load})


def _context(
    request: Request, testbed: Testbed, page: GuestPage, lab: Lab
) -> dict[str, object]:
    is_usable = testbed.condition in Testbed.DEPLOYED and not page.is_removed
    active = testbed.runs.active().select_related("asked_by").defer("plan")
    running = sorted(active, key=lambda run: not run.is_exclusive)
    allowed = (request.may if is_usable else Permissions()).allows
    return {
        "testbed": testbed,
        "page": page,
        "guest": page.row.guest,
        "is_usable": is_usable,
        "may_power": allowed(Act.POWER),
        "may_up": allowed(Act.UP_GUESTS),
        "may_check": allowed(Act.CHECK),
        "may_execute": allowed(Act.EXECUTE),
        "may_watch": allowed(Act.WATCH_CONSOLE),
        "may_type": allowed(Act.CONSOLE),
        "verbs": VERBS.values() if request.may.allows(Act.POWER) else (),
        "ways": ways_for(request.user, testbed),
        "keys": key_status(testbed, page.row.guest),
        "ssh": _ssh(request, testbed, page.row.guest, lab),
        "protection": protections_of(testbed).get(page.row.guest.name),
        "may_save_image": request.may.allows(Act.SAVE_IMAGE),
        "may_protect": request.may.allows(Act.PROTECT),
        "active_run": running[0] if running else None,
    }


def _ssh(
    request: Request, testbed: Testbed, guest: GuestState, lab: Lab
) -> SshWay | None:
    """Return the way into the guest that the user may take, if there is any."""
    found = find_guest(testbed, guest.name)
    if found is None or not request.may.allows(Act.SSH):
        return None
    web = web_name(request)
    project, hosts = testbed.project, lab.hosts
    ways = ways_into(found.state, project, (guest,), web=web, hosts=hosts)
    return ways[0] if ways else None
