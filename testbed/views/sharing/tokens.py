"""The page of a user's own API tokens: made here, shown once, revoked."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from orchestration.errors import TestbedError
from testbed.access.scopes import Scope
from testbed.access.tokens import MOST_NAME, MOST_TOKENS, make_token, revoke_token
from testbed.access.visibility import Request, not_stored
from testbed.accounts.confirmation import confirmed
from testbed.models import ApiToken

UNPROCESSABLE = 422
MOST_DIGITS = 18
MOST_DAYS_DIGITS = 5


@not_stored
@login_required
@confirmed
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Show the user's tokens, or make one; its text is in this one answer alone.

    A token outlives the session, so that one who has that alone makes none.
    """
    if request.method == "GET":
        return _page(request)
    form = request.POST
    try:
        row, text = make_token(
            request.user, form.get("name", ""), form.getlist("scope"), _days(request)
        )
    except TestbedError as exc:
        return _page(request, refused=exc)
    return _page(request, made=row, text=text)


@login_required
@require_POST
def revoke(request: Request) -> HttpResponse:
    """Revoke one of the user's tokens."""
    number = request.POST.get("token", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS
    rows = ApiToken.objects.filter(user=request.user).select_related("user")
    row = rows.filter(pk=int(number)).first() if is_number else None
    if row is None:
        raise Http404("There is no such token.")
    revoke_token(row)
    messages.success(request, f"The token {row.name} was revoked.")
    return redirect("tokens")


def _days(request: Request) -> int:
    """Return the days that were chosen; no number is 0, which is refused."""
    text = request.POST.get("days", "").strip() or str(settings.TOKEN_DAYS)
    is_number = text.isascii() and text.isdecimal() and len(text) <= MOST_DAYS_DIGITS
    return int(text) if is_number else 0


def _page(
    request: Request,
    refused: TestbedError | None = None,
    made: ApiToken | None = None,
    text: str = "",
) -> HttpResponse:
    # A program leads its user here with the name and scopes that it needs.
    form = request.POST if refused else request.GET
    if made:
        form = QueryDict()
    context = {
        "tokens": ApiToken.objects.filter(user=request.user),
        "most": MOST_TOKENS,
        "scopes": [scope for scope in Scope if scope is not Scope.READ],
        "chosen": form.getlist("scope"),
        "days": form.get("days", settings.TOKEN_DAYS),
        "name": form.get("name", "")[:MOST_NAME],
        "most_days": settings.TOKEN_MOST_DAYS,
        "refused": refused,
        "made": made,
        "text": text,
    }
    status = UNPROCESSABLE if refused else 200
    return render(request, "account/tokens.html", context, status=status)
