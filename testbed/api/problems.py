"""Problem details (RFC 9457): how every refusal of the API looks, and its status.

The words are those of the pages. What Django itself refuses gets here through
`views/problems.py`, which asks `is_api`.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse

from orchestration.errors import TestbedBusy, TestbedError
from testbed.access.rates import TooManyRequests
from testbed.access.tokens import TokenInvalid
from testbed.api.shapes import problem_json
from testbed.models import Protected
from testbed.pages.streaming import TooManyDownloads
from testbed.sharing.transfer import OwnerChanged
from testbed.testbeds.editing import EditConflict
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.testbeds.resumable.receiving import (
    DiskFull,
    PartTooLong,
    UploadBusy,
    UploadEnded,
    WrongOffset,
)
from testbed.testbeds.stored_files import TooManyDigests

ADDRESS = "/api/"
CONTENT_TYPE = "application/problem+json"
PRECONDITION_REQUIRED = 428
_STATUSES: Mapping[type[TestbedError], int] = {
    TestbedBusy: HTTPStatus.CONFLICT,
    Protected: HTTPStatus.LOCKED,
    OwnerChanged: HTTPStatus.CONFLICT,
    EditConflict: HTTPStatus.PRECONDITION_FAILED,
    Unconfirmed: PRECONDITION_REQUIRED,
    TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyDownloads: HTTPStatus.TOO_MANY_REQUESTS,
    TooManyDigests: HTTPStatus.TOO_MANY_REQUESTS,
    TokenInvalid: HTTPStatus.UNAUTHORIZED,
    UploadEnded: HTTPStatus.GONE,
    UploadBusy: HTTPStatus.LOCKED,
    WrongOffset: HTTPStatus.CONFLICT,
    DiskFull: HTTPStatus.INSUFFICIENT_STORAGE,
    PartTooLong: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class Refused(TestbedError):
    """A request that the API refuses with a status of its own."""

    def __init__(self, status: int, message: str, *, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Missing(Refused):
    """Something is not there, in what the user sees."""

    def __init__(
        self, message: str, *, hint: str = "Ask for the list of them."
    ) -> None:
        super().__init__(HTTPStatus.NOT_FOUND, message, hint=hint)


def is_api(request: HttpRequest) -> bool:
    """Return whether a request is one of the API, also at an unknown address."""
    return request.path_info.startswith(ADDRESS)


def status_of(problem: TestbedError) -> int:
    """Return the status of a refusal; mostly it is not possible (422)."""
    if isinstance(problem, Refused):
        return problem.status
    found = (code for kind, code in _STATUSES.items() if isinstance(problem, kind))
    return next(found, HTTPStatus.UNPROCESSABLE_ENTITY)


def problem_answer(
    problem: TestbedError, status: int | None = None, **more: Any
) -> HttpResponse:
    """Return a refusal as problem details; `more` are further keys."""
    code = HTTPStatus(status_of(problem) if status is None else status)
    shape = problem_json(problem)
    body = {
        "type": "about:blank",
        "title": code.phrase,
        "status": int(code),
        "detail": shape.pop("error"),
        **shape,
        **more,
    }
    if isinstance(problem, Unconfirmed):
        body["erases"] = problem.erasure.to_json()
    answer = JsonResponse(body, status=code, content_type=CONTENT_TYPE)
    if code == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer
