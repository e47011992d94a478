"""Acts on hosts that are there, for lab admins. No view speaks to a host."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from orchestration.errors import TestbedError
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, host_for
from testbed.hosts import drain as drains
from testbed.views.problems import problem_page, status_of


@login_required
@require_POST
def drain(request: Request, name: str) -> HttpResponse:
    """Drain a host, or end its drain."""
    require_admin(request.user)
    host, by = host_for(request, name), request.user.get_username()
    try:
        if request.POST.get("do") == "end":
            drains.end_drain(host, by)
        else:
            drains.drain(host, by, request.POST.get("reason", ""))
    except TestbedError as exc:
        back = reverse("host", args=[name])
        return problem_page(request, exc, status=status_of(exc), back=back)
    return redirect("host", name)
