"""`tui`: the command that opens the interface; Textual is imported only then."""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common, settings
from testbed.client.terminal.project import name_of, read_link
from testbed.client.terminal.session import Session, session, signed_in


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
    # Textual draws on standard error.
    is_terminal = all(one.isatty() for one in (sys.stdin, sys.stdout, sys.stderr))
    if not is_terminal or os.environ.get("TERM") == "dumb":
        raise WrongUse(
            "The interface needs a terminal.", hint="Use the other commands in scripts."
        )
    found = signed_in(settings())
    parts = import_module("testbed.client.tui.asking")
    with session() as one:
        testbed = one.testbed if one.settings.project_name else ""
        place = parts.Place(*own) if (own := _own_folder(one)) else None
    lab = parts.Lab(found.url, found.token, place)
    code: int = import_module("testbed.client.tui.app").show(lab, testbed)
    return code


def _own_folder(one: Session) -> tuple[Path, str, str] | None:
    """Return the present folder, its testbed and the account, where it has a YAML."""
    folder = one.folder
    if folder is None or not (one.link.testbed or not read_link(folder).testbed):
        return None  # it has none, or it is of another server
    return folder, one.full_name(one.link.testbed or name_of(folder)), one.account
