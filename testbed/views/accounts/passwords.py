"""Accounts that have no password here."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from orchestration.errors import TestbedError
from testbed.access.visibility import Request
from testbed.views.problems import problem_page

CONFLICT = 409


@login_required
@require_GET
def none_here(request: Request) -> HttpResponse:
    """Say where the password of such an account is changed."""
    problem = TestbedError(
        "Your account has no password here.",
        hint="Change it where you sign in, or ask a lab admin to give you one here.",
    )
    return problem_page(request, problem, status=CONFLICT, back=reverse("account"))
