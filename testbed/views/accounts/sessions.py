"""The page of a user's own account: password, and the sessions that are open."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from testbed.access.second_factor import factors_of
from testbed.access.sessions import end_other_sessions, end_session, sessions_of
from testbed.access.visibility import Request, not_stored
from testbed.models.accounts.directory import is_of_directory
from testbed.views.accounts.openid import identities_of


@not_stored
@login_required
@require_GET
def index(request: Request) -> HttpResponse:
    """Show where and when the user signed in."""
    sessions = sessions_of(request.user, request.session.session_key)
    identities = identities_of(request.user)
    context = {
        "sessions": sessions,
        "openid": settings.OPENID,
        "directory": settings.DIRECTORY if is_of_directory(request.user) else None,
        "identities": identities,
        "is_bound": any(one.signs_in for one in identities),
        **factors_of(request.user),
    }
    return render(request, "account/index.html", context)


@login_required
@require_POST
def end(request: Request) -> HttpResponse:
    """End one of the user's sessions."""
    if not end_session(request.user, request.POST.get("session", "")):
        raise Http404("There is no such session.")
    messages.success(request, "The session has ended.")
    return redirect("account")


@login_required
@require_POST
def end_others(request: Request) -> HttpResponse:
    """End all sessions of the user but this one."""
    end_other_sessions(request.user, request.session.session_key)
    messages.success(request, "Your other sessions have ended.")
    return redirect("account")
