"""Bodies and answers that are files: read within a bound, sent in pieces."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, StreamingHttpResponse
from django.utils.http import content_disposition_header

from testbed.access.visibility import Request
from testbed.api.problems import Refused
from testbed.pages.streaming import note, while_made
from testbed.testbeds.uploads import MAX_BYTES

BINARY = "application/octet-stream"
MOST_KIND = 100


def content_of(*kinds: str) -> dict[str, Any]:
    """Return how the OpenAPI document shows the bytes of a file."""
    return {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}


def answers_with(*kinds: str) -> dict[str, Any]:
    """Return the part of the OpenAPI document for an operation that sends a file."""
    return {"responses": {200: {"description": "OK", "content": content_of(*kinds)}}}


def body_of(request: Request) -> bytes:
    """Return a body that is one file. Raises: Refused (413)."""
    content: bytes = request.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"This is more than {MAX_BYTES // 1024**2} MiB.",
            hint="Send less.",
        )
    return content


def kind_of(request: Request, kinds: Mapping[str, str]) -> str:
    """Return what the content type of a body stands for. Raises: Refused (415)."""
    found = kinds.get(request.content_type or "")
    if found is None:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The content type is {kind_sent(request)}, not one of {', '.join(kinds)}.",
            hint="Say with `Content-Type` how it is packed.",
        )
    return found


def kind_sent(request: HttpRequest) -> str:
    """Return the content type of a body, as a refusal names it."""
    return (request.content_type or "none")[:MOST_KIND]


def sent(
    request: Request, pieces: Iterator[bytes], kind: str, name: str
) -> StreamingHttpResponse:
    """Send pieces as a file to be saved under a name, as one download of the user's.

    `require_one_more` was asked before.
    """
    answer = StreamingHttpResponse(while_made(pieces), content_type=kind)
    header = content_disposition_header(True, name) or "attachment"
    answer.headers["Content-Disposition"] = header
    note(request.user, answer)
    return answer
