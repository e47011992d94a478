"""A testbed's own files: look at them, add to them and replace them.

Text files are edited in `editor`; others are only downloaded. `erasing` deletes them.
"""

from collections.abc import Iterator
from pathlib import Path

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_POST

from orchestration.compose.files import open_real
from orchestration.errors import PathOutside, TestbedError
from testbed.access.addresses import Address
from testbed.access.limits import LimitReached
from testbed.access.permissions import Act
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.pages.streaming import PIECE_BYTES, while_made
from testbed.testbeds.editing import NAMED, add_files
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.texts import MAX_TEXT_BYTES, is_text
from testbed.views.execution.downloads import bounded
from testbed.views.forms import UploadForm
from testbed.views.problems import problem_page


@login_required
@require_POST
def upload(request: Request, address: Address) -> HttpResponse:
    """Add files, or replace those of the same path."""
    testbed = testbed_for(request, address, Act.EDIT)
    form = UploadForm(request.POST, request.FILES)
    try:
        problem = "" if form.is_valid() else _first_error(form)
        found = {} if problem else form.read_files()
        add_files(testbed, found, request.user)
    except LimitReached as exc:
        back = reverse("testbed", args=[address])
        return problem_page(request, exc, status=422, back=back)
    except TestbedError as exc:
        found, problem = {}, exc.sentence
    if found:
        messages.success(request, f"Saved: {', '.join(sorted(found)[:NAMED])}.")
    else:
        messages.error(request, problem or "No file was chosen.")
    return redirect("testbed", address)


@not_stored
@login_required
@require_GET
@bounded
def show(request: Request, address: Address, path: str) -> HttpResponseBase:
    """Send one file as text; to be saved with `?download`, or if it is binary or long."""
    testbed = testbed_for(request, address, Act.SEE)
    try:
        file = testbed.project.file(path)
    except PathOutside as exc:
        raise Http404(exc.message) from exc
    size = list_files(testbed).get(path)
    if size is None:
        raise Http404(f"There is no file {path}.")
    if "download" not in request.GET and size <= MAX_TEXT_BYTES:
        content = file.read_bytes()
        if is_text(content):
            return HttpResponse(content, content_type="text/plain; charset=utf-8")
    # A client that reads slowly would keep all of a large file in memory.
    response = StreamingHttpResponse(
        while_made(_pieces(file)), content_type="application/octet-stream"
    )
    as_saved = content_disposition_header(True, file.name) or "attachment"
    response.headers["Content-Disposition"] = as_saved
    return response


def _pieces(path: Path) -> Iterator[bytes]:
    with open_real(path) as file:
        yield from iter(lambda: file.read(PIECE_BYTES), b"")


def _first_error(form: UploadForm) -> str:
    return str(next(iter(form.errors.values()))[0])
