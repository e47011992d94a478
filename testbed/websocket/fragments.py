"""The HTML of a frame: the same partials that the run page was first rendered with.

Used by the websocket for clients that ask for `?render=html`. A partial has one root
element whose id names the element to replace; a frame has one partial, two, or none.
"""

from django.template.loader import render_to_string

from orchestration.plan.model import Command
from testbed.access.permissions import Permissions
from testbed.models import Event, Instruction, Run, Task
from testbed.pages.board import BYTES, copies_of, element_id, stage_of, stages_of
from testbed.pages.execution.answers import answers_of

NOTHING = Permissions()


def html_of(event: Event, run: Run, may: Permissions = NOTHING) -> str:
    """Render the parts of the run page that an event changed; empty when none.

    They have the buttons that `may` allows.
    """
    match event.kind:
        case Event.Kind.LOG:
            return _render("runs/_log_line.html", event=event, run=run)
        case Event.Kind.TASK_PROGRESSED:
            return _packets(run) if run.is_capture else _task(event, run)
        case _ if run.command == Command.EXEC:
            return _answers_head(run) if event.is_of_task else header_of(run, may)
        case _ if event.is_of_task:
            return _task(event, run)
        case Event.Kind.WAITING:
            return _stage(event, run)
        case Event.Kind.INSTRUCTION_STARTED | Event.Kind.RESULT:
            return _stage(event, run) + header_of(run, may)
        case Event.Kind.RUN:
            return header_of(run, may) + _skipped(run)
        case Event.Kind.CANCEL_REQUESTED | Event.Kind.LEFTOVERS:
            return header_of(run, may)
    return ""


def header_of(run: Run, may: Permissions = NOTHING) -> str:
    """Render the head of the run page, and the outcome of the run."""
    parts = ("runs/_header.html", "runs/_outcome.html")
    found = "".join(_render(part, run=run, may=may) for part in parts)
    return found + _answers_head(run) if run.command == Command.EXEC else found


def _answers_head(run: Run) -> str:
    """Render how many guests have answered; the page fetches the answers themselves.

    A capture has packets instead.
    """
    if run.is_capture:
        return _packets(run)
    return _render("executions/_answers_head.html", answers=answers_of(run), run=run)


def _packets(run: Run) -> str:
    return _render("executions/_packets.html", run=run)


def _skipped(run: Run) -> str:
    """Render the stages that a run did not reach."""
    missed = [s for s in stages_of(run) if s.status == Task.Status.SKIPPED]
    return "".join(_render("runs/_stage.html", stage=s, run=run) for s in missed)


def _task(event: Event, run: Run) -> str:
    task = Task.objects.filter(
        instruction__run=run,
        instruction__index=event.index,
        resource=event.resource,
        host=event.host,
    ).select_related("instruction")
    found = task.first()
    if found is None:
        return ""
    card = _render("runs/_task.html", task=found, run=run)
    return card + _copies(found.instruction.stage, run) if found.unit == BYTES else card


def _copies(stage: str, run: Run) -> str:
    copies = copies_of(run, stage)
    return _render("runs/_copies.html", id=element_id(stage), copies=copies)


def _stage(event: Event, run: Run) -> str:
    instruction = Instruction.objects.filter(run=run, index=event.index).first()
    if instruction is None:
        return ""
    stage = stage_of(run, instruction.stage)
    return _render("runs/_stage.html", stage=stage, run=run)


def _render(template: str, **context: object) -> str:
    return render_to_string(template, context).strip()
