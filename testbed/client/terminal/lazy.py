"""Doors through which the command line imports a part only when it is used.

`testbed --help` imports no command and no HTTP: the table of commands has their names
and sentences. Packages that may be missing are found here, too.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import click

from testbed.client.terminal.former import present, without_levels

# A command's place, as `module:function`, and its sentence in the list of commands.
Table = Mapping[str, tuple[str, str]]

# Of two words, one letter may be another one.
_LIKENESS = 0.5


class ReaderLeft(Exception):
    """The program behind a pipe ended before the command; no OSError to click."""


class LazyGroup(click.Group):
    """A group of commands that are imported when they are run or completed."""

    def __init__(self, *args: Any, table: Table, **more: Any) -> None:
        super().__init__(*args, **more)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or return None."""
        if cmd_name not in self.table:
            return None
        module, _, name = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[1]) for name, row in self.table.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before a command, also as they were spelled before."""
        return super().parse_args(ctx, _said(*without_levels(args)))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command. Raises: click.UsageError, with the closest names."""
        args = _said(*present(args))
        name = args[0]
        if name not in self.table and not name.startswith("-"):
            near = [one for one in self.table if one.startswith(name[:2])]
            near = near or get_close_matches(name, self.table, cutoff=_LIKENESS)
            more = f" Is it {' or '.join(near)}?" if near else ""
            ctx.fail(f"There is no command {name}.{more}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Raises: ReaderLeft, where click would end with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise ReaderLeft from exc


def _said(args: list[str], words: str) -> list[str]:
    """Say that words were spelled so before; return the present ones."""
    if words:
        click.echo(words, err=True)
    return args


def loaded(name: str) -> ModuleType:
    """Import a package that few commands use."""
    return import_module(name)


def optional(name: str) -> ModuleType | None:
    """Import a package that may be missing; None without it."""
    return import_module(name) if find_spec(name) else None
