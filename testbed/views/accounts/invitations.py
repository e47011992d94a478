"""Invitations: lab admins make them, their links lead to the form of a new account."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from orchestration.errors import TestbedError
from testbed.access.logins import TooManyLogins, count_mail
from testbed.access.permissions import require_admin
from testbed.access.visibility import Request, not_stored, page_of
from testbed.accounts.invitations import NotInvited, invite, takes_registrations
from testbed.accounts.invitations import withdraw as remove
from testbed.accounts.mails import can_mail
from testbed.celery import request_registration_mail
from testbed.models import Invitation
from testbed.views.accounts.adapter import INVITED
from testbed.views.accounts.forms import RegistrationForm
from testbed.views.accounts.refusals import not_offered, too_many

UNPROCESSABLE = 422
MOST_DIGITS = 18


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def index(request: Request) -> HttpResponse:
    """Show the invitations, or make one; a link that was not mailed is shown once."""
    require_admin(request.user)
    if request.method == "GET":
        return _page(request)
    email = request.POST.get("email", "")
    try:
        row, link = invite(email, request.user)
    except NotInvited as exc:
        return _page(request, refused=exc, email=email)
    if link:  # the admin's own address, where the settings have none
        return _page(request, made=row, link=request.build_absolute_uri(link))
    messages.success(request, f"The invitation was mailed to {row.email}.")
    return redirect("invitations")


@login_required
@require_POST
def withdraw(request: Request) -> HttpResponse:
    """Remove an invitation that was not used."""
    require_admin(request.user)
    number = request.POST.get("invitation", "")
    is_number = number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS
    row = Invitation.objects.open().filter(pk=int(number) if is_number else 0).first()
    if row is None:
        raise Http404("There is no such invitation.")
    try:
        remove(row, request.user)
        messages.success(request, f"The {row} was withdrawn.")
    except NotInvited as exc:
        messages.error(request, exc.sentence)
    return redirect("invitations")


@never_cache
@require_safe
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Lead the visitor with an invitation's link to the form of a new account."""
    row = Invitation.objects.of_token(token)
    if row is None:
        hint = "Each works once, until its end. Ask a lab admin for another."
        return not_offered(
            request, TestbedError("This is no open invitation.", hint=hint)
        )
    request.session[INVITED] = row.pk
    return redirect("account_signup")


@never_cache
@require_http_methods(["GET", "POST"])
def register(request: HttpRequest) -> HttpResponse:
    """Mail a link to a user who registers; the answer tells of no account."""
    if not takes_registrations():
        hint = "A lab admin can invite you."
        problem = TestbedError("Users do not register by themselves here.", hint=hint)
        return not_offered(request, problem)
    form = RegistrationForm(request.POST or None)
    if not form.is_valid():
        return render(request, "account/register.html", {"form": form})
    try:
        count_mail(form.cleaned_data["email"], request)
    except TooManyLogins as exc:
        return too_many(request, exc)
    request_registration_mail(form.cleaned_data["email"])
    return render(request, "account/register.html", {"sent": True})


def _page(
    request: Request,
    *,
    made: Invitation | None = None,
    link: str = "",
    refused: NotInvited | None = None,
    email: str = "",
) -> HttpResponse:
    context: dict[str, object] = {
        "page": page_of(request, Invitation.objects.all()),
        "query": {},
        "made": made,
        "link": link,
        "refused": refused,
        "email": email,
        "can_mail": can_mail(),
    }
    status = UNPROCESSABLE if refused else 200
    return render(request, "account/invitations.html", context, status=status)
