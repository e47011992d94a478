"""Pages that refuse a visitor who is not signed in."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from testbed.access.logins import TooManyLogins
from testbed.views.problems import problem_page


def too_many(request: HttpRequest, refused: TooManyLogins) -> HttpResponse:
    """Say when to try again."""
    page = _page(request, refused, HTTPStatus.TOO_MANY_REQUESTS)
    page.headers["Retry-After"] = str(refused.wait_s)
    return page


def _page(request: HttpRequest, problem: TooManyLogins, status: int) -> HttpResponse:
    return problem_page(request, problem, status=status, back=reverse("account_login"))
