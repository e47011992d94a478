"""The REST API under `/api/v1/`: its operations, and what they answer when they refuse.

An operation is parse, visibility, the function that the page's view calls too, shape.
Operation ids are the names of the functions, where none is given, and stay.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

from orchestration.errors import TestbedError
from testbed.access.addresses import encoded
from testbed.access.visibility import Moved, not_stored
from testbed.api import me, runs
from testbed.api.accounts import (
    deliveries,
    invitations,
    notifications,
    ssh_keys,
    tokens,
)
from testbed.api.content import kind_sent
from testbed.api.guests import (
    answers,
    captures,
    consoles,
    fetched,
    guests,
    loads,
    schedules,
    snapshots,
    ssh,
)
from testbed.api.hosts import (
    changing,
    cleanups,
    hosts,
    new_hosts,
    quotas,
    record,
    reservations,
)
from testbed.api.hosts import snapshots as lab_snapshots
from testbed.api.hosts.forms import WrongValues
from testbed.api.problems import CONTENT_TYPE, Refused, problem_answer
from testbed.api.sharing import expiry, groups, owners, protection, shares
from testbed.api.signing_in import SessionAuth, TokenAuth
from testbed.api.testbeds import (
    archives,
    artefacts,
    checks,
    commands,
    copies,
    fetches,
    files,
    images,
    inputs,
    source,
    testbeds,
    trash,
    uploads,
)

JSON = "application/json"
MOST_SHOWN = 20
# /api/v1/testbeds/<account>/<name>/<rest>
_PARTS = 6


PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "hint"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "findings": {"type": "array", "items": {"type": "object"}},
        "errors": {"type": "array", "items": {"type": "object"}},
        "erases": {"type": "object"},
    },
}
REFUSED = {
    "description": "Refused",
    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class JsonParser(Parser):
    """Reads bodies that say that they are JSON."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Return the values. Raises: ValueError, RecursionError."""
        if request.content_type != JSON:
            raise ValueError(request.content_type)
        return super().parse_body(request)


class Api(NinjaAPI):
    """The API, with the names of its functions as operation ids."""

    _document: OpenAPISchema | None = None

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return the id of an operation."""
        return str(operation.view_func.__name__)

    def get_openapi_schema(self, **how: Any) -> OpenAPISchema:
        """Return the document, in which each operation may be refused; made once."""
        if self._document is not None:
            return self._document
        schema = super().get_openapi_schema(**how)
        schema["components"]["schemas"]["Problem"] = PROBLEM
        for methods in schema["paths"].values():
            for operation in methods.values():
                operation["responses"]["default"] = REFUSED
        self._document = schema
        return schema


api = Api(
    title="Testbed",
    version="3.0",
    description="What the pages do, for programs: docs/api.md says how.",
    urls_namespace="api",
    docs_url=None,
    parser=JsonParser(),
    auth=[TokenAuth(), SessionAuth()],
)
# Answers hold what users keep secret.
api.add_decorator(not_stored, "view")
api.add_decorator(uploads.speak_tus, "view")
_MODULES = (
    me,
    testbeds,
    archives,
    copies,
    files,
    checks,
    source,
    fetches,
    uploads,
    trash,
    inputs,
    runs,
    answers,
    captures,
    fetched,
    artefacts,
    commands,
    guests,
    consoles,
    ssh,
    loads,
    snapshots,
    schedules,
    images,
    expiry,
    protection,
    shares,
    owners,
    groups,
    hosts,
    changing,
    new_hosts,
    cleanups,
    lab_snapshots,
    reservations,
    quotas,
    record,
    ssh_keys,
    tokens,
    notifications,
    deliveries,
    invitations,
)
for _module in _MODULES:
    api.add_router("", _module.router)


@api.exception_handler(TestbedError)
def refuse(request: HttpRequest, problem: TestbedError) -> HttpResponse:
    """Answer a refusal of a service."""
    return problem_answer(problem)


@api.exception_handler(WrongValues)
def refuse_form(request: HttpRequest, problem: WrongValues) -> HttpResponse:
    """Answer values that a page's form refuses, each with its place."""
    return problem_answer(problem, errors=problem.errors)


@api.exception_handler(Http404)
@api.exception_handler(Exception)
def pass_on(request: HttpRequest, exc: Exception) -> HttpResponse:
    """Let Django answer, as it does for pages: `views/problems.py`."""
    raise exc


@api.exception_handler(Moved)
def lead(request: HttpRequest, moved: Moved) -> HttpResponse:
    """Lead to the present address of a testbed; 308 keeps the method."""
    parts = request.path_info.split("/", _PARTS)
    owner = encoded(moved.testbed.account)
    target = "/".join([*parts[:4], owner, moved.testbed.name, *parts[_PARTS:]])
    problem = TestbedError(
        f"This testbed is {moved.testbed.full_name} now.", hint=f"Use {target}."
    )
    answer = problem_answer(problem, HTTPStatus.PERMANENT_REDIRECT)
    answer.headers["Location"] = target
    return answer


@api.exception_handler(RequestDataTooBig)
def refuse_size(request: HttpRequest, exc: RequestDataTooBig) -> HttpResponse:
    """Answer a body that is too large for JSON."""
    problem = TestbedError(
        "The body is too large for JSON.", hint="Send content as a file."
    )
    return problem_answer(problem, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


@api.exception_handler(HttpError)
def refuse_body(request: HttpRequest, exc: HttpError) -> HttpResponse:
    """Answer a body that ninja could not read."""
    if exc.status_code != HTTPStatus.BAD_REQUEST:
        return problem_answer(TestbedError(exc.message), exc.status_code)
    if request.content_type != JSON:
        problem = Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The content type is {kind_sent(request)}, not {JSON}.",
            hint=f"Send JSON, with `Content-Type: {JSON}`.",
        )
        return problem_answer(problem)
    problem = Refused(
        HTTPStatus.BAD_REQUEST,
        "The body is not JSON.",
        hint="Send one JSON object, in UTF-8.",
    )
    return problem_answer(problem)


@api.exception_handler(ValidationError)
def refuse_values(request: HttpRequest, exc: ValidationError) -> HttpResponse:
    """Answer values that are not as the operation takes them, each with its place."""
    found = [
        {"where": _where(error["loc"]), "message": _message(error)}
        for error in exc.errors[:MOST_SHOWN]
    ]
    words = "The request is not valid"
    if found:
        words = f"{_place(exc.errors[0]['loc'])}: {found[0]['message']}"
    problem = TestbedError(
        f"{words}.",
        hint="See the operation in /api/v1/openapi.json.",
    )
    return problem_answer(problem, errors=found)


def _message(error: Mapping[str, Any]) -> str:
    """Return why a value is refused, without the names of our classes."""
    if error["type"] in ("model_type", "model_attributes_type"):
        return "Input should be an object"
    return str(error["msg"])


def _where(loc: Sequence[str | int]) -> str:
    """Return a value's place: `body`, `query` or `path`, and the way in it."""
    return ".".join((str(loc[0]), *_way(loc)))


def _place(loc: Sequence[str | int]) -> str:
    """Return a value's place for a sentence."""
    return ".".join(_way(loc)) or "The body"


def _way(loc: Sequence[str | int]) -> list[str]:
    """Return the keys and indexes that lead to a value, without our parameter's name."""
    own = 2 if loc[:1] == ("body",) else 1
    return list(map(str, loc[own:]))
