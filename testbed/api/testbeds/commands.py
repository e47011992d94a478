"""Saved commands of a testbed: listed, saved, run with values, deleted."""

from datetime import datetime
from typing import Annotated, Any

from django.http import HttpResponse
from ninja import Field, Router, Status
from pydantic import BaseModel

from orchestration.errors import ExecutionRefused
from orchestration.plan.execution import parse_execution
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.runs import MOST_SELECTION, Started, started
from testbed.api.wishes import Text, Wish, Words
from testbed.models import SavedCommand, Testbed
from testbed.runs.starting import start_execution
from testbed.testbeds.saved_commands import (
    commands_for,
    delete_command,
    find_saved,
    save_for,
    saved_execution,
)

router = Router(tags=["commands"])
MOST_VALUES = 100
Value = Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=MOST_SELECTION)]


class CommandShape(BaseModel):
    """A saved command; `shared`: with all testbeds. `execution` is a body of `exec`.

    `problem` says why it cannot be run by this version.
    """

    id: int
    name: str
    shared: bool
    parameters: list[str]
    execution: dict[str, Any]
    saved_by: str
    saved_at: datetime
    problem: str


class CommandList(BaseModel):
    """All saved commands that the user may run on a testbed."""

    items: list[CommandShape]


class NewCommand(Wish):
    """A command to save; `execution` is a body of `exec`, with parameters."""

    name: Words
    execution: dict[str, Any]
    shared: bool = False


class SavedWish(Wish):
    """The values of a saved command's parameters, and where it runs; empty: as saved."""

    values: dict[Words, Value] = Field(default_factory=dict, max_length=MOST_VALUES)
    selection: Text = Field("", max_length=MOST_SELECTION)


@router.get("/testbeds/{account}/{name}/commands", response=CommandList)
def list_commands(request: Request, account: str, name: str) -> dict[str, object]:
    """List the saved commands."""
    testbed = testbed_of(request, account, name, Act.EXECUTE)
    return {"items": _shapes(request, testbed)}


@router.post(
    "/testbeds/{account}/{name}/commands",
    response={201: CommandShape},
    operation_id="save_command",
)
def save_one(
    request: Request, account: str, name: str, new: NewCommand
) -> Status[dict[str, object]]:
    """Save a command, in place of one of the same name; lab admins share them."""
    act = Act.SHARE_COMMAND if new.shared else Act.SAVE_COMMAND
    testbed = testbed_of(request, account, name, act)
    try:
        wanted = parse_execution(new.execution)
    except RecursionError as exc:
        raise ExecutionRefused("`execution` is not the JSON of a command.") from exc
    row = save_for(request.user, testbed, new.name, wanted, is_shared=new.shared)
    found = (one for one in _shapes(request, testbed) if one["id"] == row.pk)
    return Status(201, next(found))


@router.post(
    "/testbeds/{account}/{name}/commands/{int:number}/run",
    response={202: Started},
    openapi_extra=KEYED,
)
def run_command(
    request: Request, account: str, name: str, number: int, wish: SavedWish
) -> HttpResponse:
    """Run a saved command."""
    testbed = testbed_of(request, account, name, Act.EXECUTE)
    _row(testbed, number)
    wanted = saved_execution(testbed, str(number), wish.values, wish.selection)
    return started(request, lambda: start_execution(testbed, request.user, wanted))


@router.delete(
    "/testbeds/{account}/{name}/commands/{int:number}",
    response={204: None},
    operation_id="delete_command",
)
def remove_command(
    request: Request, account: str, name: str, number: int
) -> HttpResponse:
    """Delete a saved command; a shared one as a lab admin."""
    testbed = testbed_of(request, account, name, Act.SAVE_COMMAND)
    delete_command(request.user, testbed, _row(testbed, number))
    return HttpResponse(status=204)


def _row(testbed: Testbed, number: int) -> SavedCommand:
    row = find_saved(testbed, number)
    if row is None:
        raise Missing("There is no such saved command.")
    return row


def _shapes(request: Request, testbed: Testbed) -> list[dict[str, object]]:
    return [
        {
            "id": one.row.pk,
            "name": one.row.name,
            "shared": one.row.testbed_id is None,
            "parameters": list(one.parameters),
            "execution": one.row.execution,
            "saved_by": str(one.row.saved_by),
            "saved_at": one.row.saved_at,
            "problem": one.problem.sentence if one.problem else "",
        }
        for one in commands_for(request.user, testbed)
    ]
