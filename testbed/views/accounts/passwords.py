"""Passwords that are lost, and accounts that have none here."""

from allauth.account import views as allauth
from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from orchestration.errors import TestbedError
from testbed.access.visibility import Request
from testbed.accounts.invitations import takes_registrations
from testbed.accounts.mails import can_mail
from testbed.models.accounts.directory import is_of_directory
from testbed.views.accounts.refusals import not_offered
from testbed.views.problems import problem_page

CONFLICT = 409
# Called for each page: tests and a restart change the settings.
sign_in = allauth.LoginView.as_view(
    extra_context={
        "can_mail": can_mail,
        "takes_registrations": takes_registrations,
        "openid": lambda: settings.OPENID,
        "directory": lambda: settings.DIRECTORY,
    }
)


@require_http_methods(["GET", "POST"])
def reset(request: HttpRequest) -> HttpResponse:
    """Mail a link for a new password, where mail is set up."""
    if can_mail():
        page: HttpResponse = allauth.password_reset(request)
        return page
    problem = TestbedError(
        "This server sends no mail.", hint="A lab admin can give you a new password."
    )
    return not_offered(request, problem)


@login_required
@require_http_methods(["GET", "POST"])
def change(request: Request) -> HttpResponse:
    """Change the password, unless it is the directory's."""
    if is_of_directory(request.user):
        return redirect("account_set_password")
    page: HttpResponse = allauth.password_change(request)
    return page


@login_required
@require_GET
def none_here(request: Request) -> HttpResponse:
    """Say where the password of such an account is changed."""
    problem = TestbedError(
        f"Your password is that of {settings.DIRECTORY.name}.", hint="Change it there."
    )
    if not is_of_directory(request.user):
        problem = _no_password()
    back = reverse("account")
    return problem_page(request, problem, status=CONFLICT, back=back)


def _no_password() -> TestbedError:
    return TestbedError(
        "Your account has no password here.",
        hint="Change it where you sign in, or ask a lab admin to give you one here.",
    )
