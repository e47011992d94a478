"""The runs that are going on in the lab, and the last ones, as far as the user sees them."""

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from testbed.access.visibility import Request, not_stored
from testbed.pages.listing.running import recent_runs, run_json, running_rows
from testbed.views.problems import wants_json


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show what runs now and what ended last; htmx gets the part that changes."""
    running, count = running_rows(request.user)
    if wants_json(request):
        now = [run_json(row.run, row.progress) for row in running]
        over = [run_json(run) for run in recent_runs(request.user)]
        return JsonResponse({"running": now, "count": count, "recent": over})
    context = {
        "running": running,
        "more": count - len(running),
        "recent": recent_runs(request.user),
    }
    part = "activity/_activity.html" if request.htmx else "activity/index.html"
    return render(request, part, context)
