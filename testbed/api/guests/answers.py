"""The answers of commands: all as JSON, or the output of one guest as text."""

from typing import Literal

from django.http import StreamingHttpResponse
from ninja import Router

from testbed.access.visibility import Request, execution_for
from testbed.api.problems import Missing
from testbed.models import Task
from testbed.pages.execution.answers import answer_file, answers_of
from testbed.pages.execution.answers_json import json_pieces, text_pieces
from testbed.pages.streaming import note, require_one_more, while_made

router = Router(tags=["runs"])
TEXT = "text/plain; charset=utf-8"


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
