"""The answers of commands: all as JSON, or the output of one guest as text."""

from typing import Literal

from django.http import StreamingHttpResponse
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.visibility import Request, execution_for
from testbed.api.content import answers_with, sent
from testbed.api.problems import Missing
from testbed.api.wishes import Id
from testbed.models import Task
from testbed.pages.execution.answers import answer_file, answers_of
from testbed.pages.execution.answers_json import json_pieces, text_pieces
from testbed.pages.execution.outputs import archived_answers, compare_outputs
from testbed.pages.streaming import (
    note,
    require_one_more,
    while_made,
    zip_pieces,
)

router = Router(tags=["runs"])
TEXT = "text/plain; charset=utf-8"
ZIP = "application/zip"


class DifferenceLine(BaseModel):
    """A line of a unified diff: `added`, `removed`, `same`, or the `place` of the next."""

    kind: str
    text: str


class OutputDifference(BaseModel):
    """The difference of two outputs: of their first `compared` lines, where `cut`."""

    lines: list[DifferenceLine]
    compared: int
    cut: bool


@router.get("/runs/{int:number}/answers")
def read_answers(request: Request, number: int) -> StreamingHttpResponse:
    """Send the folded answers of a command, failures first."""
    run = execution_for(request, number)
    require_one_more(request.user)
    pieces = while_made(json_pieces(run, answers_of(run)))
    answer = StreamingHttpResponse(pieces, content_type="application/json")
    note(request.user, answer)
    return answer


@router.get("/runs/{int:number}/answers/{guest}")
def read_answer(
    request: Request,
    number: int,
    guest: str,
    stream: Literal["stdout", "stderr"] | None = None,
) -> StreamingHttpResponse:
    """Send the output of one guest as text."""
    run = execution_for(request, number)
    task = Task.objects.filter(instruction__run=run, resource=guest).first()
    if task is None or not answer_file(run, task).is_file():
        raise Missing("This guest has no output in this run.")
    require_one_more(request.user)
    pieces = while_made(text_pieces(run, task, stream))
    answer = StreamingHttpResponse(pieces, content_type=TEXT)
    note(request.user, answer)
    return answer


@router.get("/runs/{int:number}/answers.zip", openapi_extra=answers_with(ZIP))
def read_answers_archive(request: Request, number: int) -> StreamingHttpResponse:
    """Send the outputs of all guests as one archive."""
    run = execution_for(request, number)
    require_one_more(request.user)
    name = f"{run.testbed.name}-answers-{run.pk}"
    pieces = zip_pieces(archived_answers(run, answers_of(run), name))
    return sent(request, pieces, ZIP, f"{name}.zip")


@router.get("/runs/{int:number}/difference", response=OutputDifference)
def compare_answers(
    request: Request,
    number: int,
    of: str,
    with_run: Query[Id | None] = None,
    with_guest: str = "",
) -> dict[str, object]:
    """Compare the output of a guest with another's, or with that of an earlier run."""
    run = execution_for(request, number)
    other = run if with_run is None else execution_for(request, with_run)
    found = compare_outputs((run, of), (other, with_guest or of))
    lines = [{"kind": kind, "text": text} for kind, text in found.lines]
    return {"lines": lines, "compared": found.compared, "cut": found.is_cut}
