"""Pages that refuse a visitor who is not signed in."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from orchestration.errors import TestbedError
from testbed.access.logins import TooManyLogins
from testbed.views.problems import problem_page


def too_many(request: HttpRequest, refused: TooManyLogins) -> HttpResponse:
    """Say when to try again."""
    page = _page(request, refused, HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(refused.wait_s)
    return page


def not_invited(request: HttpRequest, problem: TestbedError) -> HttpResponse:
    """Say why no account is made."""
    return _page(request, problem, HTTPStatus.CONFLICT)


def not_signed_in(request: HttpRequest, problem: TestbedError) -> HttpResponse:
    """Say why a provider's user is not signed in."""
    return _page(request, problem, HTTPStatus.FORBIDDEN)


def not_offered(request: HttpRequest, problem: TestbedError) -> HttpResponse:
    """Say that there is no such way in here; a link that is none gets the same."""
    return _page(request, problem, HTTPStatus.NOT_FOUND)


def _page(request: HttpRequest, problem: TestbedError, status: int) -> HttpResponse:
    return problem_page(request, problem, status=status, back=reverse("account_login"))
