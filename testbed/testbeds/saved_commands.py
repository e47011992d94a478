"""Saves commands for guests under names, and makes executions of them again.

Called by the views with an authorised user. A command is one testbed's, or shared with
all testbeds by a lab admin.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from orchestration.errors import ExecutionRefused, StateError
from orchestration.plan.execution import (
    Execution,
    Targets,
    checked,
    parse_execution,
)
from orchestration.plan.parameters import filled, parameters_of, require_quotable
from testbed.access.permissions import (
    Act,
    act_of,
    act_on,
    may,
    record_act,
    require,
)
from testbed.models import SavedCommand, Testbed

MOST_SAVED = 200
MOST_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved command with what it runs; `parameters` are asked for.

    One that an earlier version stored may be refused by this one: it has a `problem`.
    """

    row: SavedCommand
    execution: Execution | None = None
    parameters: tuple[str, ...] = ()
    problem: ExecutionRefused | None = None


def saved_commands(testbed: Testbed) -> list[Saved]:
    """Return the commands that a testbed's users may run by name."""
    found = _usable(testbed).select_related("saved_by")
    return [_saved(row) for row in found]


def save_command(
    user: User, name: str, wanted: Execution, *, testbed: Testbed | None
) -> SavedCommand:
    """Save a command, in place of an older one of this name.

    Raises: ExecutionRefused (no name, a parameter that cannot be quoted, too many).
    """
    name = _spaced(name)
    if not name or len(name) > MOST_CHARACTERS or not name.isprintable():
        raise ExecutionRefused(
            f"A saved command has a name of 1 to {MOST_CHARACTERS} visible characters.",
            hint="Give it one.",
        )
    require_quotable(wanted)
    others = SavedCommand.objects.filter(testbed=testbed).exclude(name=name)
    if others.count() >= MOST_SAVED:
        raise ExecutionRefused(
            f"There are {MOST_SAVED} saved commands.", hint="Delete some first."
        )
    values = {"execution": asdict(wanted), "saved_by": user}
    return SavedCommand.objects.update_or_create(
        testbed=testbed, name=name, defaults=values
    )[0]


def save_for(
    user: User, testbed: Testbed, name: str, wanted: Execution, *, is_shared: bool
) -> SavedCommand:
    """Save a command of a testbed, or for all testbeds, and record it.

    Its user has to be allowed to run it, and to run one that it replaces. Raises:
    NotAllowed, ExecutionRefused.
    """
    act = Act.SHARE_COMMAND if is_shared else Act.SAVE_COMMAND
    require(user, act, testbed)
    require(user, act_of(wanted), testbed)
    place = None if is_shared else testbed
    if (old := find_named(place, name)) is not None:
        _require_running(user, testbed, old)
    row = save_command(user, name, wanted, testbed=place)
    record_act(user, act, testbed, f"saved {row.name}")
    return row


def delete_command(user: User, testbed: Testbed, row: SavedCommand) -> None:
    """Delete a command that a user may run; a shared one as a lab admin alone.

    Raises: NotAllowed.
    """
    act = Act.SAVE_COMMAND if row.testbed_id else Act.SHARE_COMMAND
    require(user, act, testbed)
    _require_running(user, testbed, row)
    row.delete()
    record_act(user, act, testbed, f"deleted {row.name}")


def commands_for(user: User, testbed: Testbed) -> list[Saved]:
    """Return the saved commands that a user may run on a testbed."""
    return [
        one
        for one in saved_commands(testbed)
        if may(user, act_on(hosts=is_for_hosts(one.row)), testbed)
    ]


def _require_running(user: User, testbed: Testbed, row: SavedCommand) -> None:
    """Let those change a saved command who may run it. Raises: NotAllowed."""
    require(user, act_on(hosts=is_for_hosts(row)), testbed)


def _spaced(name: str) -> str:
    """Return a command's name with single spaces, as it is stored."""
    return " ".join(name.split())


def find_saved(testbed: Testbed, number: int) -> SavedCommand | None:
    """Return a command that a testbed's users may run."""
    return _usable(testbed).filter(pk=number).first()


def find_named(testbed: Testbed | None, name: str) -> SavedCommand | None:
    """Return the command that one of this name would replace."""
    found = _spaced(name)
    if not found.isprintable():
        return None
    return SavedCommand.objects.filter(testbed=testbed, name=found).first()


def saved_execution(
    testbed: Testbed, number: str, values: Mapping[str, str], selection: str
) -> Execution:
    """Return what a saved command runs with some values, where the selection says.

    Raises: StateError (there is none), ExecutionRefused (a value is missing).
    """
    is_number = number.isascii() and number.isdecimal() and len(number) < 19
    row = find_saved(testbed, int(number)) if is_number else None
    if row is None:
        raise StateError(
            "There is no such saved command.", hint="It may have been deleted."
        )
    wanted = filled(parse_execution(row.execution), values)
    return checked(replace(wanted, selection=selection or wanted.selection))


def _usable(testbed: Testbed) -> "QuerySet[SavedCommand]":
    found: QuerySet[SavedCommand] = SavedCommand.objects.all()
    return found.filter(Q(testbed=testbed) | Q(testbed=None))


def is_for_hosts(row: SavedCommand) -> bool:
    """Return whether a saved command is for hosts, also one that is refused."""
    return bool(row.execution.get("targets") == Targets.HOSTS)


def _saved(row: SavedCommand) -> Saved:
    try:
        wanted = parse_execution(row.execution)
    except ExecutionRefused as exc:
        return Saved(row, problem=exc)
    return Saved(row, wanted, parameters_of(wanted))
