"""Error pages: each says what happened and what to do next.

A client that sends or asks for JSON gets the same words as JSON (docs/protocol.md).
"""

import logging
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig, TooManyFilesSent
from django.db import IntegrityError
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse

from orchestration.errors import SpecError, TestbedError
from testbed.access.permissions import NotAllowed, record_refusal
from testbed.api.problems import is_api, problem_answer
from testbed.api.problems import status_of as status_of
from testbed.api.shapes import problem_json
from testbed.models import SavedImage, Testbed
from testbed.testbeds.uploads import MAX_FILES

logger = logging.getLogger(__name__)

JSON = "application/json"
Respond = Callable[[HttpRequest], HttpResponse]
GONE = (Testbed.DoesNotExist, SavedImage.DoesNotExist)


def wants_json(request: HttpRequest) -> bool:
    """Return whether a program asks: it sends JSON or wants it, browsers do not."""
    return request.content_type == JSON or JSON in request.headers.get("Accept", "")


def problem_page(
    request: HttpRequest,
    problem: TestbedError,
    *,
    status: int,
    back: str,
    editor: str = "",
) -> HttpResponse:
    """Show an error of ours with its hint, detail and findings, or answer in JSON.

    Findings of a YAML lead to the `editor`, whose address is given.
    """
    if is_api(request):
        return problem_answer(problem, status)
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=status)
    findings = problem.findings if isinstance(problem, SpecError) else ()
    context = {"problem": problem, "findings": findings, "back": back}
    context["editor"] = editor if findings else ""
    return render(request, "problem.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show 400; mostly an upload of too much, which is not read to its end."""
    if isinstance(exception, TooManyFilesSent):
        title = "These are too many files for one upload"
        return _page(request, 400, title, f"Send at most {MAX_FILES}, or an archive.")
    if isinstance(exception, RequestDataTooBig):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024**2
        title = f"This form holds more than {limit} MiB of text"
        return _page(request, 400, title, "Upload it as a file.")
    hint = "Go back, load the page again and repeat it."
    return _page(request, 400, "The server does not understand this request", hint)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show 403, with the role that is needed and who gives it, and record it."""
    if isinstance(exception, NotAllowed):
        if isinstance(request.user, User):
            what = f"{request.method} {request.path}"
            record_refusal(request.user, exception, what)
        back = reverse("testbeds")
        return problem_page(request, exception.problem, status=403, back=back)
    return _page(request, 403, "You may not do this", "Ask a lab admin.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Show 404; also for another user's objects."""
    hint = "It may have been deleted, or it belongs to another user."
    return _page(request, 404, "There is nothing at this address", hint)


class GoneMeanwhile:
    """Answers 404 when another request deleted what this one is about (middleware)."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self._respond(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Answer for a row that was there when the request came, and not when locked."""
        if not _is_gone(exception):
            return None
        logger.warning("%s: gone meanwhile", request.path, exc_info=exception)
        return not_found(request, exception)


def _is_gone(exception: Exception) -> bool:
    if isinstance(exception, ProtectedError):  # the contrary: it is still needed
        return False
    if isinstance(exception, IntegrityError):  # a new row leads to one that is gone
        text = str(exception).lower()
        return "foreign key" in text and "still referenced" not in text
    return isinstance(exception, GONE)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Show 403 for a form that was open too long or without cookies."""
    hint = "Go back, load the page again and repeat it. Cookies must be allowed."
    return _page(request, 403, "This form is no longer valid", hint)


def failed(request: HttpRequest) -> HttpResponse:
    """Show 500 without touching the database, which may be what failed."""
    problem = TestbedError(
        "The server failed.", hint="Try again; its log has the reason."
    )
    if is_api(request):
        return problem_answer(problem, HTTPStatus.INTERNAL_SERVER_ERROR)
    if wants_json(request):
        return JsonResponse(problem_json(problem), status=500)
    text = render_to_string("500.html", {"home": reverse("testbeds")})
    return HttpResponse(text, status=500)


def explain_wrong_method(respond: Respond) -> Respond:
    """Give a body to the answer 405, which Django leaves without one (middleware)."""

    def middleware(request: HttpRequest) -> HttpResponse:
        answer = respond(request)
        if answer.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return answer
        if answer.content and not is_api(request):
            return answer
        allowed = answer.headers["Allow"]
        title = f"{request.method} is not possible at this address"
        page = _page(request, answer.status_code, title, f"Use {allowed}.")
        page.headers["Allow"] = allowed
        return page

    return middleware


def _page(request: HttpRequest, status: int, title: str, hint: str) -> HttpResponse:
    problem = TestbedError(f"{title}.", hint=hint)
    return problem_page(request, problem, status=status, back=reverse("testbeds"))
