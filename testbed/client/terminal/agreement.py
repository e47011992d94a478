"""The question before something is erased: a list, then `--yes` or a typed name."""

import sys

import click

from orchestration.amounts import size
from orchestration.terminal import plain
from testbed.client.rest.server import Agrees
from testbed.client.terminal.tables import say
from testbed.client.watching import Frame

yes_option = click.option(
    "-y", "--yes", is_flag=True, help="Erase what the server names, and do not ask."
)


def agreement(*, yes: bool) -> Agrees:
    """Return what prints the things that die, and agrees or asks."""

    def agrees(erases: Frame) -> bool:
        for line in lines_of(erases):
            say(line)
        if yes:
            return True
        if not sys.stdin.isatty():
            return False
        name = erases["must_type"] or "yes"
        typed: str = click.prompt(
            f"To erase this, type {plain(name)}",
            err=True,
            default="",
            show_default=False,
        )
        return typed.strip() == name

    return agrees


def lines_of(erases: Frame) -> list[str]:
    """Return what dies and what stays, one thing a line."""
    lines = ["This is erased:"]
    for loss in erases["losses"]:
        seen = loss["bytes"]
        amount = "size not seen" if seen is None else size(seen)
        where = f" on {loss['host']}" if loss["host"] else ""
        why = f" ({loss['reason']})" if loss["reason"] else ""
        lines.append(f"  {loss['sort']} {loss['name']}{where}, {amount}{why}")
    return [*lines, *erases["kept"]]
