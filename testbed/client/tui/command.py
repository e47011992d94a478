"""`tui`: the command that opens the interface; Textual is imported only then."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec

import click

from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common, settings
from testbed.client.terminal.session import session, signed_in


@click.command()
@common
def tui() -> int:
    """Show testbeds, guests and runs on the whole terminal, and act on them.

    With --project-name this testbed is opened at once. `?` shows the keys.
    """
    if find_spec("textual") is None:
        raise WrongUse(
            "The package textual is missing, with which the interface is drawn.",
            hint="Install it: `pip install textual`.",
        )
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not is_terminal or os.environ.get("TERM") == "dumb":
        raise WrongUse(
            "The interface needs a terminal.", hint="Use the other commands in scripts."
        )
    chosen = settings()
    found = signed_in(chosen)
    testbed = ""
    if chosen.project_name:
        with session() as one:
            testbed = one.testbed
    code: int = import_module("testbed.client.tui.app").show(
        found.url, found.token, testbed
    )
    return code
