"""The quotas of all accounts, for lab admins."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, not_stored, page_of
from testbed.pages.budgets import all_quotas


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show what each account uses of its quota, those with the least left first."""
    require_admin(request.user)
    quotas = all_quotas()
    context = {
        "page": page_of(request, quotas),
        "query": {},
        "full": sum(one.pressure >= 100 for one in quotas),
    }
    return render(request, "sharing/quotas.html", context)
