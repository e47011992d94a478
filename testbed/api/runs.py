"""Runs: started, listed, shown, cancelled; their logs and answers."""

import json
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from ninja import Body, Field, Query, Router
from pydantic import BaseModel

from orchestration.errors import ExecutionRefused, StateError
from orchestration.plan.execution import parse_execution
from orchestration.plan.model import Options, Plan
from orchestration.plan.power import verb_named
from orchestration.plan.selected import way_named
from testbed.access.permissions import (
    Act,
    act_of_command,
    require,
    require_scope,
)
from testbed.access.visibility import Request, run_for, visible_runs
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.paging import Paging, page_of
from testbed.api.places import address_of_run, testbed_of
from testbed.api.shapes import instructions_of
from testbed.api.wishes import Text, Wish, Words
from testbed.models import Run
from testbed.pages.listing.running import (
    Progress,
    progress_of,
    recent_runs,
    run_json,
    running_rows,
)
from testbed.pages.logs import LogFilter, text_of, why_removed
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import PlanJson
from testbed.runs.places.queue import turn_of
from testbed.runs.starting import (
    command_named,
    start_command,
    start_execution,
    start_guest_up,
    start_power,
)

router = Router(tags=["runs"])
TEXT = "text/plain; charset=utf-8"
MOST_SELECTION = 10_000


class RunShape(BaseModel):
    """A run; `stage` and `percent` are those of one that goes on."""

    run: int
    testbed: str
    key: str
    owner: str
    name: str
    title: str
    status: str
    asked_by: str
    created_at: datetime
    ended_at: datetime | None
    message: str
    hint: str
    stage: str | None
    percent: int | None


class InstructionShape(BaseModel):
    """One instruction of a run's plan."""

    index: int
    kind: str
    title: str
    resources: list[str]


class QueuePlace(BaseModel):
    """The place of a run in the queue, from 1 on, and what it waits for."""

    place: int
    total: int
    obstacle: str


class RunWithPlan(RunShape):
    """A run with its instructions, which go with its log; `queue` while it waits."""

    queue: QueuePlace | None
    instructions: list[InstructionShape]


class RunList(BaseModel):
    """A page of runs, the newest first; `count` is of all pages."""

    items: list[RunShape]
    count: int


class Activity(BaseModel):
    """The runs that go on, the newest 50 of `count`, and the last 50 that ended."""

    running: list[RunShape]
    count: int
    recent: list[RunShape]


class Started(BaseModel):
    """A run that was started; `Location` is its address."""

    run: int
    status: str
    instructions: list[InstructionShape]


class CommandWish(Wish):
    """A command of the whole testbed; `confirm` is the token of what it erases.

    A `plan` that the client made itself is compared with the server's.
    """

    command: Words
    provision: bool = False
    rerun_scripts: bool = False
    confirm: Words = ""
    plan: dict[str, Any] | None = None


class PowerWish(Wish):
    """A power verb, and the guests in ClusterShell's notation."""

    verb: Words
    selection: Text = Field(max_length=MOST_SELECTION)


class GuestUpWish(Wish):
    """Up of guests: `up`, `recreate` or `scripts`."""

    mode: Words
    selection: Text = Field(max_length=MOST_SELECTION)
    confirm: Words = ""


@router.get("/activity", response=Activity)
def read_activity(request: Request) -> dict[str, object]:
    """Show the runs that go on and the last ones, as far as the user sees them."""
    require_scope(request.user, Act.SEE)
    running, count = running_rows(request.user)
    return {
        "running": [run_shape(row.run, row.progress) for row in running],
        "count": count,
        "recent": [run_shape(run) for run in recent_runs(request.user)],
    }


@router.get("/testbeds/{account}/{name}/runs", response=RunList)
def list_runs(
    request: Request,
    response: HttpResponse,
    account: str,
    name: str,
    paging: Query[Paging],
) -> dict[str, object]:
    """List the runs of a testbed."""
    testbed = testbed_of(request, account, name, Act.SEE)
    rows = visible_runs(request, testbed).listed().select_related("testbed__owner")
    found, count = page_of(request, response, rows, paging)
    progress = progress_of(found)
    items = [run_shape(run, progress.get(run.pk)) for run in found]
    return {"items": items, "count": count}


@router.post(
    "/testbeds/{account}/{name}/runs",
    response={202: Started},
    openapi_extra=KEYED,
)
def start_run(
    request: Request, account: str, name: str, wish: CommandWish
) -> HttpResponse:
    """Start `up`, `down`, `generate-artefacts` or `clear-artefacts`.

    Where disks die, the answer is 428 until `confirm` has the token of `erases`. A
    `plan` is refused with 422 and the first instruction that differs.
    """
    testbed = testbed_of(request, account, name, Act.SEE)
    command = command_named(wish.command)
    require(request.user, act_of_command(command), testbed)
    options = Options(provision=wish.provision, rerun_scripts=wish.rerun_scripts)
    plan, confirm = _client_plan(wish), wish.confirm
    return started(
        request,
        lambda: start_command(
            testbed, request.user, command, options, client_plan=plan, confirm=confirm
        ),
    )


@router.post(
    "/testbeds/{account}/{name}/power",
    response={202: Started},
    openapi_extra=KEYED,
)
def change_power(
    request: Request, account: str, name: str, wish: PowerWish
) -> HttpResponse:
    """Start, stop, pause or reboot guests."""
    testbed = testbed_of(request, account, name, Act.POWER)
    verb = verb_named(wish.verb)
    return started(
        request, lambda: start_power(testbed, request.user, verb, wish.selection)
    )


@router.post(
    "/testbeds/{account}/{name}/up",
    response={202: Started},
    openapi_extra=KEYED,
)
def bring_guests_up(
    request: Request, account: str, name: str, wish: GuestUpWish
) -> HttpResponse:
    """Bring single guests up; `recreate` asks for `confirm`."""
    testbed = testbed_of(request, account, name, Act.UP_GUESTS)
    way = way_named(wish.mode)
    return started(
        request,
        lambda: start_guest_up(
            testbed, request.user, way, wish.selection, confirm=wish.confirm
        ),
    )


@router.post(
    "/testbeds/{account}/{name}/exec",
    response={202: Started},
    openapi_extra=KEYED,
)
def execute(
    request: Request, account: str, name: str, wish: Body[dict[str, Any]]
) -> HttpResponse:
    """Run a command in guests; docs/protocol.md has the keys of the body."""
    testbed = testbed_of(request, account, name, Act.EXECUTE)
    try:
        wanted = parse_execution(wish)
    except RecursionError as exc:
        raise ExecutionRefused("The body is not the JSON of a command.") from exc
    return started(request, lambda: start_execution(testbed, request.user, wanted))


@router.get("/runs/{int:number}", response=RunWithPlan, url_name="run")
def read_run(request: Request, number: int) -> dict[str, object]:
    """Show a run, with its plan while its log is kept."""
    return _shown(request, run_for(request, number, Act.SEE))


@router.post("/runs/{int:number}/cancel", response={202: RunWithPlan})
def cancel_run(request: Request, number: int) -> dict[str, object]:
    """Ask a run to stop; one that is over stays as it is."""
    run = run_for(request, number, Act.CANCEL)
    request_cancel(run.pk, request.user)
    return _shown(request, run_for(request, number, Act.CANCEL))


@router.get("/runs/{int:number}/log", url_name="run-log")
def read_log(
    request: Request, number: int, resource: str = "", host: str = ""
) -> StreamingHttpResponse | HttpResponse:
    """Send the log as text, of one resource or host or of all."""
    run = run_for(request, number, Act.SEE)
    if removed := run.log_removed_at:
        words = f"removed on {removed:%Y-%m-%d} ({why_removed(run)})\n"
        return HttpResponse(words, content_type=TEXT)
    text = text_of(run, LogFilter(resource, host))
    return StreamingHttpResponse(text, content_type=TEXT)


def started(request: Request, start: Callable[[], Run]) -> HttpResponse:
    """Start a run, or repeat the answer to the same request."""

    def made() -> Made:
        run = start()
        return Made(started_shape(run), address_of_run(run), HTTPStatus.ACCEPTED)

    return made_once(request, made)


def started_shape(run: Run) -> dict[str, object]:
    """Return a run that was started for programs."""
    return {
        "run": run.pk,
        "status": run.status,
        "instructions": instructions_of(run),
    }


def run_shape(run: Run, progress: Progress | None = None) -> dict[str, object]:
    """Return a run for programs."""
    shape = {"stage": None, "percent": None, "hint": run.hint} | run_json(run, progress)
    return shape | {"testbed": run.testbed.full_name}


def _client_plan(wish: CommandWish) -> PlanJson | None:
    """Return a client's plan as the server writes its own. Raises: StateError."""
    if wish.plan is None:
        return None
    try:
        plan: PlanJson = json.loads(Plan.from_json(json.dumps(wish.plan)).to_json())
    except (RecursionError, StateError) as exc:
        raise StateError(
            "The `plan` cannot be read.",
            hint="Send it as `Plan.to_json()` writes it, or leave it out.",
        ) from exc
    return plan


def _shown(request: Request, run: Run) -> dict[str, object]:
    progress = progress_of([run]).get(run.pk)
    instructions = [] if run.log_removed_at else instructions_of(run)
    turn, queue = turn_of(run), None
    if turn is not None:
        queue = {name: getattr(turn, name) for name in QueuePlace.model_fields}
    return run_shape(run, progress) | {"instructions": instructions, "queue": queue}
