"""The files of a testbed, with entity tags, so that no user's work is lost unseen.

The tag of a file is the SHA-256 of its content, as in the editor.
"""

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from pydantic import BaseModel

from orchestration.compose.files import open_real
from orchestration.errors import PathOutside
from orchestration.project.digests import digest_of_open
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.content import BINARY, body_of, content_of
from testbed.api.places import testbed_of
from testbed.api.problems import PRECONDITION_REQUIRED, Missing, Refused
from testbed.api.testbeds.testbeds import Deleted
from testbed.api.wishes import Wish, Words
from testbed.models import Testbed
from testbed.pages.streaming import PIECE_BYTES, note, require_one_more, while_made
from testbed.testbeds.editing import rename_file, save_bytes
from testbed.testbeds.files import delete_file
from testbed.testbeds.stored_files import digesting, list_files

router = Router(tags=["files"])
CONTENT = content_of(BINARY)
PUT_ABOUT = {
    "requestBody": {"required": True, "content": CONTENT},
    "parameters": [
        {
            "in": "header",
            "name": name,
            "schema": {"type": "string"},
            "description": about,
        }
        for name, about in (
            ("If-Match", "the tag of the file that is replaced; `*`: any"),
            ("If-None-Match", "`*`: only where there is no file yet"),
        )
    ],
}


class FileShape(BaseModel):
    """A file, by its path in the testbed's folder."""

    path: str
    size: int


class FileList(BaseModel):
    """All files of a testbed, the YAML first."""

    items: list[FileShape]


class Saved(FileShape):
    """A file that was saved; `etag` is its tag."""

    etag: str


class PathWish(Wish):
    """Another path for a file."""

    path: Words


class Renamed(BaseModel):
    """The path that a file has now."""

    path: str


class _FileAnswer(StreamingHttpResponse):
    """An open file, closed also where its client leaves before the first piece."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(while_made(_pieces(file)), content_type=BINARY)
        self._file = file

    def close(self) -> None:
        """End the answer."""
        self._file.close()
        super().close()


@router.get(
    "/testbeds/{account}/{name}/files", response=FileList, operation_id="list_files"
)
def list_all_files(request: Request, account: str, name: str) -> dict[str, object]:
    """List the files of a testbed."""
    testbed = testbed_of(request, account, name, Act.SEE)
    found = list_files(testbed).items()
    return {"items": [{"path": path, "size": size} for path, size in found]}


@router.get(
    "/testbeds/{account}/{name}/files/{path:path}",
    url_name="file",
    openapi_extra={
        "responses": {
            200: {"description": "OK", "content": CONTENT},
            304: {"description": "Not Modified"},
        }
    },
)
def read_file(request: Request, account: str, name: str, path: str) -> HttpResponseBase:
    """Send a file; with `If-None-Match` and its tag 304."""
    testbed = testbed_of(request, account, name, Act.SEE)
    require_one_more(request.user)
    file = _opened(testbed, path)
    tag = _tag_of(request, file, testbed.project.file(path))
    answer: HttpResponseBase
    if tag in _tags(request, "If-None-Match"):
        file.close()
        answer = HttpResponse(status=HTTPStatus.NOT_MODIFIED)
    else:
        file.seek(0)
        answer = _FileAnswer(file)
        answer.headers["Content-Disposition"] = "attachment"
    answer.headers["ETag"] = tag
    note(request.user, answer)
    return answer


@router.put(
    "/testbeds/{account}/{name}/files/{path:path}",
    response={200: Saved, 201: Saved},
    openapi_extra=PUT_ABOUT,
)
def save_file(request: Request, account: str, name: str, path: str) -> HttpResponse:
    """Save a file: the body is its content.

    `If-Match` has the tag of the file that is replaced, or `*`; `If-None-Match: *` is
    for a new file. Without either the answer is 428, with a stale tag 412.
    """
    testbed = testbed_of(request, account, name, Act.EDIT)
    seen = _seen(request)
    content = body_of(request)
    digest = save_bytes(testbed, path, content, request.user, seen=seen)
    tag = f'"{digest}"'
    shape = {"path": path, "size": len(content), "etag": tag}
    status = HTTPStatus.CREATED if seen == "" else HTTPStatus.OK
    answer = JsonResponse(shape, status=status)
    answer.headers["ETag"] = tag
    return answer


@router.patch(
    "/testbeds/{account}/{name}/files/{path:path}",
    response=Renamed,
    operation_id="rename_file",
)
def give_path(
    request: Request, account: str, name: str, path: str, wish: PathWish
) -> dict[str, object]:
    """Give a file another path, where there is nothing yet."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    renamed = rename_file(testbed, path, wish.path.strip(), request.user)
    return {"path": renamed}


@router.delete(
    "/testbeds/{account}/{name}/files/{path:path}",
    response=Deleted,
    operation_id="delete_file",
)
def remove_file(
    request: Request, account: str, name: str, path: str, confirm: str = ""
) -> dict[str, object]:
    """Move a file to the trash; where none is kept, `confirm` is asked for."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    item = delete_file(testbed, path, request.user, confirm=confirm)
    return {"deleted": path, "trash": item.pk if item else None}


def _opened(testbed: Testbed, path: str) -> BinaryIO:
    """Open a file of a testbed. Raises: Http404."""
    try:
        found = testbed.project.file(path)
    except PathOutside as exc:
        raise Missing(exc.message) from exc
    if path not in list_files(testbed):
        raise Missing(f"There is no file {path}.")
    try:
        return open_real(found)
    except FileNotFoundError as exc:  # deleted just now
        raise Missing(f"There is no file {path}.") from exc


def _tag_of(request: Request, file: BinaryIO, path: Path) -> str:
    """Return the tag of an open file; a refusal closes it. Raises: TooManyDigests."""
    try:
        with digesting(request.user, os.fstat(file.fileno()).st_size):
            return f'"{digest_of_open(file, path)}"'
    except BaseException:
        file.close()
        raise


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def _seen(request: Request) -> str | None:
    """Return the digest that a save expects: "" of no file, None of any.

    Raises: Refused (428).
    """
    if "*" in _tags(request, "If-None-Match"):
        return ""
    tags = _tags(request, "If-Match")
    if not tags:
        raise Refused(
            PRECONDITION_REQUIRED,
            "This save does not say which content it replaces.",
            hint="Send `If-Match` with the ETag that you read, or `If-None-Match: *` "
            "for a new file.",
        )
    return None if "*" in tags else tags[0].strip('"')


def _tags(request: Request, name: str) -> list[str]:
    words = request.headers.get(name, "").split(",")
    return [word.strip() for word in words if word.strip()]
