"""A testbed's own files: look at them, add to them, replace and delete them.

Text files are edited in `editor`; others are only downloaded.
"""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
)

from orchestration.errors import PathOutside, TestbedError
from testbed.access.limits import LimitReached
from testbed.access.visibility import Request, not_stored, testbed_for
from testbed.models import Testbed
from testbed.testbeds.files import delete_file, files_locked, update_files
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.texts import is_text
from testbed.views.forms import UploadForm
from testbed.views.problems import problem_page


@login_required
@require_POST
def upload(request: Request, slug: str) -> HttpResponse:
    """Add files, or replace those of the same path."""
    testbed = testbed_for(request, slug)
    form = UploadForm(request.POST, request.FILES)
    try:
        problem = "" if form.is_valid() else _first_error(form)
        found = {} if problem else form.read_files()
        with files_locked(testbed):
            update_files(testbed, found)
    except LimitReached as exc:
        back = reverse("testbed", args=[slug])
        return problem_page(request, exc, status=422, back=back)
    except TestbedError as exc:
        found, problem = {}, exc.sentence
    count = len(found)
    if count:
        messages.success(request, f"Saved: {', '.join(sorted(found)[:5])}.")
    else:
        messages.error(request, problem or "No file was chosen.")
    return redirect("testbed", slug)


@login_required
@require_http_methods(["GET", "POST"])
def remove(request: Request, slug: str) -> HttpResponse:
    """Ask, then delete one file."""
    testbed = testbed_for(request, slug)
    if request.method == "GET":
        return _ask_to_remove(request, testbed, request.GET.get("path", ""))
    path = request.POST.get("path", "")
    try:
        delete_file(testbed, path)
        messages.success(request, f"{path} was deleted.")
    except TestbedError as exc:
        messages.error(request, exc.sentence)
    return redirect("testbed", slug)


@not_stored
@login_required
@require_GET
def show(request: Request, slug: str, path: str) -> HttpResponse:
    """Send one file as text; to be saved with `?download` or when it is binary."""
    testbed = testbed_for(request, slug)
    try:
        file = testbed.project.file(path)
    except PathOutside as exc:
        raise Http404(exc.message) from exc
    if path not in list_files(testbed):
        raise Http404(f"There is no file {path}.")
    content = file.read_bytes()
    response = HttpResponse(content, content_type="text/plain; charset=utf-8")
    if "download" in request.GET or not is_text(content):
        response.headers["Content-Type"] = "application/octet-stream"
        as_saved = content_disposition_header(True, file.name) or "attachment"
        response.headers["Content-Disposition"] = as_saved
    return response


def _ask_to_remove(request: Request, testbed: Testbed, path: str) -> HttpResponse:
    size = list_files(testbed).get(path)
    if size is None:
        messages.error(request, f"There is no file {path}.")
        return redirect("testbed", testbed.slug)
    context = {"testbed": testbed, "path": path, "bytes": size}
    return render(request, "testbeds/delete_file.html", context)


def _first_error(form: UploadForm) -> str:
    return str(next(iter(form.errors.values()))[0])
