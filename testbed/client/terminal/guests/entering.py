"""`ssh` and `console`: guests are entered."""

import os
import sys
from pathlib import Path

import click

from orchestration.errors import TestbedError
from testbed.client.console import Ends, open_console
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.guests.ssh_files import folder_of, write_files
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import print_json
from testbed.client.watching import Frame


@click.command()
@click.argument("guest")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.option(
    "-i",
    "--identity",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The private key, where it is none that ssh finds by itself.",
)
@common
def ssh(guest: str, words: tuple[str, ...], identity: Path | None) -> None:
    """Log in to GUEST with this machine's ssh, or run COMMAND there.

    The way through the guest's host and all host keys are those that the server
    pinned. The exit code is that of ssh. With `--json` the way is printed instead. Write
    the command behind `--`.
    """
    with session() as one:
        way = _way_to(one, guest)
        if one.settings.is_json:
            print_json(way)
            return
        if identity is None:
            _require_key(one)
        folder = folder_of(one.server.url, one.testbed, guest)
    config = write_files(way, folder, identity)
    try:
        # The user's own ssh.
        line = ["ssh", "-F", str(config), "--", "guest", *words]
        os.execvp("ssh", line)  # noqa: S606  # nosec B606, B607
    except FileNotFoundError as exc:
        raise TestbedError(
            "There is no ssh on this machine.", hint="Install OpenSSH's client."
        ) from exc


@click.command()
@click.argument("guest")
@click.option("--shell", is_flag=True, help="A shell in the guest, by SSH.")
@click.option("--watch", is_flag=True, help="Only look; type nothing.")
@common
def console(guest: str, *, shell: bool, watch: bool) -> None:
    """Open GUEST's serial console in this terminal; Ctrl+] leaves it.

    The output of the guest acts on the terminal, as with ssh.
    """
    if shell and watch:
        raise WrongUse("A shell cannot be watched.", hint="Leave --watch out.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise WrongUse(
            "A console needs a terminal.", hint="Run a command with `testbed exec`."
        )
    with session() as one:
        open_console(
            one.server, one.testbed, guest, Ends(), is_shell=shell, typing=not watch
        )


def _way_to(one: Session, guest: str) -> Frame:
    """Return the server's way into a guest. Raises: Refusal, as `Server.get`."""
    found: list[Frame] = one.server.get(path_of(one.testbed, "ssh"))["items"]
    ways = {way["guest"]: way for way in found}
    if guest not in ways:
        hint = f"There is one to {', '.join(ways)}." if ways else "Bring it up first."
        raise Refusal(f"There is no way to {guest} by SSH.", hint=hint)
    return ways[guest]


def _require_key(one: Session) -> None:
    """Require that guests know a key of the user's. Raises: Refusal."""
    if not one.server.get("/ssh-keys")["items"]:
        raise Refusal(
            f"You have no SSH key at {one.server.url}.",
            hint="Add one with `testbed ssh-keys add FILE`, and try again in half a minute. "
            "With -i another key is tried that the guest knows.",
        )
