"""The files that guests sent: browsed by folder, downloaded alone or as one archive.

Files are sent as bytes to be saved and never shown: guests wrote them.
"""

import os
from collections.abc import Iterator

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods

from testbed.access.permissions import Act, record_act, require
from testbed.access.visibility import Request, execution_for, not_stored, page_of
from testbed.models import Protected, Run
from testbed.pages.execution.copies import is_fetch
from testbed.pages.execution.fetched import (
    are_removed,
    asked_for,
    fetched_files,
    fetched_guest,
    in_fetched_files,
    places_of,
    row_of,
    shown,
    tar_of,
    task_of_guest,
    tasks_of_fetch,
)
from testbed.pages.streaming import while_made
from testbed.testbeds.erasure.fetched import delete_fetched, erased_fetched
from testbed.testbeds.erasure.losses import Unconfirmed
from testbed.views.erasing.question import Question, ask, confirm_of, not_confirmed
from testbed.views.execution.downloads import bounded
from testbed.views.problems import problem_page, status_of

BYTES, TAR = "application/octet-stream", "application/x-tar"


@not_stored
@login_required
@require_GET
def index(request: Request, pk: int) -> HttpResponse:
    """Show the guests of a fetch, or a folder of one of them."""
    run = _fetch_for(request, pk)
    guest, path = asked_for(request.META.get("QUERY_STRING", ""))
    if guest:
        return _folder(request, run, guest, path)
    page = page_of(request, tasks_of_fetch(run))
    guests = [fetched_guest(run, task) for task in page]
    context = {"run": run, "page": page, "guests": guests}
    context |= {"is_removed": are_removed(guests)}
    return render(request, "executions/fetched.html", context)


@not_stored
@login_required
@require_GET
@bounded
def one(request: Request, pk: int) -> HttpResponseBase:
    """Send one file, to be saved."""
    run = _fetch_for(request, pk)
    guest, path = asked_for(request.META.get("QUERY_STRING", ""))
    task_of_guest(run, guest)
    files = fetched_files(run, guest)
    with in_fetched_files(), files.open(path) as file:
        size = os.fstat(file.fileno()).st_size
    _log(request, run, f"{guest}: {path}")
    response = _download(files.content(path), BYTES, path.rpartition("/")[2])
    response.headers["Content-Length"] = str(size)
    return response


@not_stored
@login_required
@require_GET
@bounded
def archive(request: Request, pk: int) -> HttpResponseBase:
    """Send all files, those of one guest or one folder, as one archive."""
    run = _fetch_for(request, pk)
    guest, path = asked_for(request.META.get("QUERY_STRING", ""))
    name, pieces = tar_of(run, guest, path)
    _log(request, run, f"{guest or 'all guests'}: {path or 'all files'}")
    return _download(pieces, TAR, name)


@not_stored
@login_required
@require_http_methods(["GET", "POST"])
def delete(request: Request, pk: int) -> HttpResponse:
    """Ask, then delete what the guests sent in a run that is over."""
    run = _fetch_for(request, pk)
    require(request.user, Act.EXECUTE, run.testbed)
    if not run.is_over:
        raise Http404("This run is not over.")
    question = _delete_question(run)
    try:
        if request.method == "GET":
            return ask(request, question, erased_fetched(run))
        delete_fetched(run, confirm=confirm_of(request))
    except Unconfirmed as exc:
        return not_confirmed(request, exc, question)
    except Protected as exc:
        status = status_of(exc)
        return problem_page(request, exc, status=status, back=question.back)
    what = f"deleted the fetched files of run {run.pk}"
    record_act(request.user, Act.TAKE_FETCHED, run.testbed, what)
    messages.success(request, f"The fetched files of #{run.pk} were deleted.")
    return redirect("run", run.pk)


def _delete_question(run: Run) -> Question:
    return Question(
        title=f"Delete the fetched files of #{run.pk}?",
        text=f"The files that guests sent for {run.title} are removed from the main "
        "host. The guests keep theirs. This cannot be undone.",
        address=reverse("run-fetched-delete", args=[run.pk]),
        button="Delete them",
        back=reverse("run-fetched", args=[run.pk]),
        testbed=run.testbed,
    )


def _fetch_for(request: Request, pk: int) -> Run:
    """Return the run of a fetch. Raises: Http404, NotAllowed."""
    run = execution_for(request, pk, Act.TAKE_FETCHED)
    if not is_fetch(run):
        raise Http404("This run has fetched no files.")
    return run


def _folder(request: Request, run: Run, guest: str, path: str) -> HttpResponse:
    about = fetched_guest(run, task_of_guest(run, guest))
    files = fetched_files(run, guest)
    context = {"run": run, "guest": about, "places": list(places_of(guest, path))}
    context |= {"is_removed": are_removed((about,))}
    if about.is_there:
        with in_fetched_files():
            page = page_of(request, files.names(path))
            entries = files.entries(path, list(page))
        rows = [row_of(guest, path, entry) for entry in entries]
        query = {"guest": guest, "path": os.fsencode(path)}
        context |= {"page": page, "rows": rows, "query": query}
    return render(request, "executions/fetched_folder.html", context)


def _download(pieces: Iterator[bytes], kind: str, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(while_made(pieces), content_type=kind)
    header = content_disposition_header(True, shown(name)) or "attachment"
    response.headers["Content-Disposition"] = header
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _log(request: Request, run: Run, what: str) -> None:
    words = f"run {run.pk}, {shown(what)}"
    record_act(request.user, Act.TAKE_FETCHED, run.testbed, words)
