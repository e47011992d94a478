"""Hides the first steps above the list, for good and for one user."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from testbed.access.visibility import Request
from testbed.testbeds.listing.labels import hide_steps


@login_required
@require_POST
def hide(request: Request) -> HttpResponse:
    """Hide the first steps; nothing else changes, so the record does not have it."""
    hide_steps(request.user)
    return redirect("testbeds")
