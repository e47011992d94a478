"""The answers of a command: folded on its page, whole, compared, and as one archive."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_GET

from orchestration.errors import StateError
from orchestration.state.selection import fold
from testbed.access.visibility import Request, execution_for, not_stored, page_of
from testbed.api.content import sent
from testbed.models import Run, Task
from testbed.pages.execution.answers import (
    Answers,
    answer_file,
    answers_of,
    changed_since,
    excerpt,
    previous_run,
)
from testbed.pages.execution.answers_json import (
    json_pieces,
    text_pieces,
)
from testbed.pages.execution.copies import is_copy, is_fetch, running_copies
from testbed.pages.execution.outputs import archived_answers, compare_outputs
from testbed.pages.execution.search import search
from testbed.pages.streaming import while_made, zip_pieces
from testbed.runs.event_rows import clean
from testbed.views.execution.downloads import bounded
from testbed.views.parts import part_of
from testbed.views.problems import wants_json

TEXT = "text/plain; charset=utf-8"
MOST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """Which answers a page shows: all, or those that failed or have a text."""

    failed: bool
    text: str


def answers_context(request: Request, run: Run) -> dict[str, object]:
    """Return the context of the answers' templates for the request's query."""
    answers = answers_of(run)
    text = clean(request.GET.get("text", ""))[:MOST_TEXT].strip()
    choice = Choice("failed" in request.GET, text)
    blocks = [b for b in answers.blocks if b.is_failed or not choice.failed]
    found = search(request.user.pk, run, blocks, text) if text else None
    page = page_of(request, found.blocks if found else blocks)
    query = {"failed": "on"} if choice.failed else {}
    query |= {"text": text} if text else {}
    good = [block for block in answers.blocks if not block.is_failed]
    return {
        "run": run,
        "answers": answers,
        "choice": choice,
        "page": page,
        "found": found,
        "shown": [
            (block, found.excerpts.get(block.key) if found else excerpt(run, block))
            for block in page
        ],
        "query": f"{urlencode(query)}&" if query else "",
        "usual": max(good, key=lambda block: block.count, default=None),
        **_of_kind(run, answers),
    }


def _of_kind(run: Run, answers: Answers) -> dict[str, object]:
    """Return what only the page of a copy has, or only that of a program."""
    if not is_copy(run):
        return _since(run, answers)
    has_arrived = any(not block.is_failed for block in answers.blocks)
    is_gone = not run.testbed.project.fetched(run.pk).is_dir()
    return {
        "is_copy": True,
        "is_fetch": is_fetch(run),
        "is_removed": is_fetch(run) and has_arrived and is_gone,
        "copying": running_copies(run),
    }


@not_stored
@login_required
@require_GET
def index(request: Request, pk: int) -> HttpResponseBase:
    """Show the list of folded answers, or send all as JSON to a program."""
    if wants_json(request) or request.GET.get("format") == "json":
        return _as_json(request, execution_for(request, pk))
    return _list(request, pk=pk)


@part_of("run")
def _list(request: Request, pk: int) -> HttpResponse:
    context = answers_context(request, execution_for(request, pk))
    return render(request, "executions/_answers_list.html", context)


@bounded
def _as_json(request: Request, run: Run) -> StreamingHttpResponse:
    pieces = while_made(json_pieces(run, answers_of(run)))
    return StreamingHttpResponse(pieces, content_type="application/json")


@not_stored
@login_required
@require_GET
@bounded
def one(request: Request, pk: int, guest: str) -> HttpResponseBase:
    """Send one guest's whole output as text; `?stream=stderr` sends that stream only."""
    run = execution_for(request, pk)
    task = Task.objects.filter(instruction__run=run, resource=clean(guest)).first()
    if task is None or not answer_file(run, task).is_file():
        raise Http404("This guest has no output in this run.")
    stream = request.GET.get("stream")
    pieces = while_made(text_pieces(run, task, stream))
    return StreamingHttpResponse(pieces, content_type=TEXT)


@not_stored
@login_required
@require_GET
@bounded
def archive(request: Request, pk: int) -> HttpResponseBase:
    """Send all answers as one ZIP archive, while it is made."""
    run = execution_for(request, pk)
    name = f"{run.testbed.name}-answers-{run.pk}"
    pieces = zip_pieces(archived_answers(run, answers_of(run), name))
    return sent(request, pieces, "application/zip", f"{name}.zip")


@not_stored
@login_required
@require_GET
def compare(request: Request, pk: int) -> HttpResponse:
    """Show the difference of two guests' answers, of this run or of an earlier one."""
    run = execution_for(request, pk)
    number = request.GET.get("with", "")
    other = run
    if number.isdecimal() and len(number) < 19:
        other = execution_for(request, int(number))
    answers = answers_of(run)
    names = _answered(answers)
    other_names = names if other is run else _answered(answers_of(other))
    of = request.GET.get("of") or next(iter(names), "")
    against = request.GET.get("and", "")
    if not against:
        against = of if other.pk != run.pk else _unlike(answers, of)
    context = {"run": run, "other": other, "names": names, "other_names": other_names}
    context |= {"of": of, "against": against}
    try:
        if of and against:
            context["found"] = compare_outputs((run, of), (other, against))
    except StateError as exc:
        context["problem"] = exc
    return render(request, "executions/difference.html", context)


def _since(run: Run, answers: Answers) -> dict[str, object]:
    """Return what changed since the last run of the same command."""
    before = previous_run(run) if run.is_over else None
    if before is None:
        return {}
    changed = changed_since(answers, answers_of(before))
    return {"before": before, "changed": changed, "changed_folded": fold(changed)}


def _answered(answers: Answers) -> list[str]:
    """Return the guests that answered, in the order of the page of answers."""
    return [name for block in answers.blocks if block.answer for name in block.names]


def _unlike(answers: Answers, name: str) -> str:
    """Return a guest to compare with another: one with another answer, where one is."""
    blocks = [block for block in answers.blocks if block.answer]
    others = [block for block in blocks if name not in block.names] or blocks
    largest = max(others, key=lambda block: block.count, default=None)
    names = largest.names if largest else ()
    return next((other for other in names if other != name), "")
