"""Uploads in parts, by tus 1.0: its core with creation, expiration and termination.

A part that breaks off is not received at all: its client asks for the offset, and sends
it again. `testbeds/resumable` has the rules.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import http_date
from ninja import Router
from pydantic import BaseModel

from orchestration.errors import TestbedError
from testbed.access.limits import limits_of
from testbed.access.permissions import Act, require, require_scope
from testbed.access.visibility import Request
from testbed.api.content import content_of
from testbed.api.places import testbed_of
from testbed.api.problems import Refused, problem_answer
from testbed.models import Testbed, Upload
from testbed.pages.streaming import PIECE_BYTES
from testbed.testbeds.resumable.receiving import (
    begin,
    end,
    finish,
    receive,
)
from testbed.testbeds.uploads import MAX_BYTES

router = Router(tags=["files"])
VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
PART = "application/offset+octet-stream"
MIB = 1024 * 1024
MOST_METADATA = 8_000
_NUMBER = re.compile(r"[0-9]{1,18}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
View = Callable[..., HttpResponseBase]


def _headers(**about: str) -> dict[str, Any]:
    parameters = [
        {
            "in": "header",
            "name": name.replace("_", "-"),
            "schema": {"type": "string"},
            "description": text,
        }
        for name, text in about.items()
    ]
    return {"parameters": parameters}


BEGIN_ABOUT = _headers(
    Upload_Length="the size of the file in bytes",
    Upload_Metadata="tus: `path` or `filename`; `sha256` of the whole file; `replaces`, "
    "the ETag of the file that is replaced or `*`, else there has to be none",
)
PART_ABOUT = {
    **_headers(Upload_Offset="how many bytes have arrived"),
    "requestBody": {"required": True, "content": content_of(PART)},
}


class UploadShape(BaseModel):
    """An open upload of a user: `offset` of `size` bytes have arrived.

    `sha256` and `replaces` are those with which it was begun, else empty.
    """

    key: str
    user: str
    testbed: str
    path: str
    size: int
    sha256: str
    replaces: str
    offset: int
    made_at: datetime
    expires_at: datetime


class UploadList(BaseModel):
    """The open uploads of the user, and those to the user's own testbeds."""

    items: list[UploadShape]


def speak_tus(respond: View) -> View:
    """Name the version to a client that names one, and refuse another (decorator)."""

    @wraps(respond)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        asked = request.headers.get("Tus-Resumable")
        if asked is None:
            return respond(request, *args, **kwargs)
        found: HttpResponseBase
        if asked == VERSION or request.method == "OPTIONS":
            found = respond(request, *args, **kwargs)
        else:
            problem = TestbedError(
                f"This is tus {VERSION}, not {asked[:20]}.", hint=f"Speak {VERSION}."
            )
            found = problem_answer(problem, HTTPStatus.PRECONDITION_FAILED)
            found.headers["Tus-Version"] = VERSION
        found.headers["Tus-Resumable"] = VERSION
        return found

    return answer


@router.api_operation(
    ["OPTIONS"], "/uploads", response={204: None}, operation_id="read_tus"
)
def read_abilities(request: Request) -> HttpResponse:
    """Tell a tus client which version and extensions there are."""
    require_scope(request.user, Act.SEE)
    answer = HttpResponse(status=HTTPStatus.NO_CONTENT)
    answer.headers["Tus-Resumable"] = answer.headers["Tus-Version"] = VERSION
    answer.headers["Tus-Extension"] = EXTENSIONS
    answer.headers["Tus-Max-Size"] = str(limits_of(request.user).testbed_mib * MIB)
    return answer


@router.get("/uploads", response=UploadList)
def list_uploads(request: Request) -> dict[str, object]:
    """List the user's open uploads, and those to the user's own testbeds."""
    require_scope(request.user, Act.SEE)
    mine = Q(user=request.user) | Q(testbed__owner=request.user)
    rows = Upload.objects.filter(mine).select_related("user", "testbed__owner")
    seen = rows.filter(testbed__in=Testbed.objects.all().visible_to(request.user))
    return {"items": [_shape(row) for row in seen]}


@router.post(
    "/testbeds/{account}/{name}/uploads",
    response={201: None},
    openapi_extra=BEGIN_ABOUT,
)
def begin_upload(request: Request, account: str, name: str) -> HttpResponse:
    """Begin to send a file in parts; `Location` is where they go."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    size = _number(request, "Upload-Length")
    about = _metadata(request.headers.get("Upload-Metadata", ""))
    path = about.get("path") or about.get("filename") or ""
    seen = about.get("replaces", "").strip('"')
    sha256 = about.get("sha256", "").lower()
    for digest in filter(None, (sha256, seen.removeprefix("*"))):
        if not _DIGEST.fullmatch(digest):
            raise _bad("`sha256` and `replaces` are digests of 64 hexadecimal digits.")
    row = begin(testbed, request.user, path, size, seen=seen, sha256=sha256)
    answer = HttpResponse(status=HTTPStatus.CREATED)
    answer.headers["Location"] = reverse("api:upload", args=[row.key])
    return _whole_or_not(_told(answer, row), row)


@router.api_operation(
    ["HEAD"],
    "/uploads/{key}",
    url_name="upload",
    response={200: None},
    operation_id="read_offset",
)
def read_upload(request: Request, key: str) -> HttpResponse:
    """Tell how many bytes have arrived."""
    return _told(HttpResponse(), _upload(request, key))


@router.patch("/uploads/{key}", response={204: None}, openapi_extra=PART_ABOUT)
def send_part(request: Request, key: str) -> HttpResponse:
    """Take a part, of at most 64 MiB. After the last one the file is in its place.

    The answer to the last part has the `ETag` of the file.
    """
    row = _upload(request, key)
    if request.content_type != PART:
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"A part has the content type {PART}.",
            hint="Send it with that.",
        )
    row = receive(row, _number(request, "Upload-Offset"), _pieces(request))
    return _whole_or_not(_told(HttpResponse(status=HTTPStatus.NO_CONTENT), row), row)


@router.delete("/uploads/{key}", response={204: None})
def end_upload(request: Request, key: str) -> HttpResponse:
    """End an upload, also another user's to an own testbed; what arrived is removed."""
    end(_upload(request, key, Q(testbed__owner=request.user)))
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _upload(request: Request, key: str, others: Q | None = None) -> Upload:
    """Return the user's own upload to a testbed that the user may still edit.

    `others` are further ones that will do. Raises: Http404, NotAllowed.
    """
    mine = Q(user=request.user)
    rows = Upload.objects.filter(mine | others if others else mine, key=key)
    seen = rows.filter(testbed__in=Testbed.objects.all().visible_to(request.user))
    row = seen.select_related("user", "testbed__owner").first()
    if row is None:
        raise Http404("There is no such upload.")
    require(request.user, Act.EDIT, row.testbed)
    return row


def _pieces(request: Request) -> Iterator[bytes]:
    """Yield the body of a part. Raises: Refused (413)."""
    left = MAX_BYTES
    while piece := request.read(PIECE_BYTES):
        left -= len(piece)
        if left < 0:
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"A part has at most {MAX_BYTES // MIB} MiB.",
                hint="Send smaller parts.",
            )
        yield piece


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "")
    if not _NUMBER.fullmatch(text):
        raise _bad(f"{name} is no number of bytes.")
    return int(text)


def _metadata(text: str) -> dict[str, str]:
    """Read pairs of a name and a text in base64. Raises: Refused."""
    found = {}
    try:
        if len(text) > MOST_METADATA:
            raise ValueError(text[:1])
        for pair in filter(None, map(str.strip, text.split(","))):
            name, _, value = pair.partition(" ")
            found[name] = base64.b64decode(value, validate=True).decode()
    except (ValueError, binascii.Error) as exc:
        raise _bad("Upload-Metadata is not names with texts in base64.") from exc
    return found


def _bad(words: str) -> Refused:
    hint = "See docs/api.md and the protocol of tus 1.0."
    return Refused(HTTPStatus.BAD_REQUEST, words, hint=hint)


def _whole_or_not(answer: HttpResponse, row: Upload) -> HttpResponse:
    """Put an upload of which all has arrived in its place."""
    if row.offset == row.size:
        answer.headers["ETag"] = f'"{finish(row)}"'
    return answer


def _told(answer: HttpResponse, row: Upload) -> HttpResponse:
    answer.headers["Upload-Offset"] = str(row.offset)
    answer.headers["Upload-Length"] = str(row.size)
    answer.headers["Upload-Expires"] = http_date(row.expires_at.timestamp())
    return answer


def _shape(row: Upload) -> dict[str, object]:
    return {
        "key": row.key,
        "user": row.user.username,
        "testbed": row.testbed.full_name,
        "path": row.path,
        "size": row.size,
        "sha256": row.sha256,
        "replaces": row.seen,
        "offset": row.offset,
        "made_at": row.made_at,
        "expires_at": row.expires_at,
    }
