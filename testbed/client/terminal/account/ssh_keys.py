"""`ssh-keys`: the user's public keys, which guests and their hosts accept."""

from typing import TextIO

import click

from testbed.client.board.moments import moment
from testbed.client.terminal.account.chosen import chosen_by
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

PATH = "/ssh-keys"
COLUMNS = ("Number", "Name", "Kind", "Fingerprint")
WIDE = ("Bits", "Added")
# An RSA key of 16,384 bits has 2,800 characters.
_MOST_CHARACTERS = 16 * 1024


@click.group("ssh-keys")
def ssh_keys() -> None:
    """List, add and remove your SSH keys."""


@ssh_keys.command("list")
@common
def list_keys() -> None:
    """List your SSH keys."""
    with session() as one:
        found = one.server.get(PATH)["items"]
        Listing(COLUMNS, _row, "You have no SSH key.", WIDE).show(found, one.settings)


@ssh_keys.command()
@click.argument("file", type=click.File("r", encoding="utf-8", errors="replace"))
@click.option("--name", default="", help="Its name; the comment of the key else.")
@common
def add(file: TextIO, name: str) -> None:
    """Add the public key in FILE, as ~/.ssh/id_ed25519.pub; - is standard input.

    Guests of your testbeds accept it within half a minute.
    """
    text = file.read(_MOST_CHARACTERS).strip()
    if "PRIVATE KEY" in text:
        raise WrongUse(
            f"{file.name} is a private key, which stays with you. Nothing was sent.",
            hint="Name the file with the public key, whose name ends with .pub.",
        )
    with session() as one:
        key = one.server.send("POST", PATH, {"key": text, "name": name})
        if one.settings.is_json:
            print_json(key)
        say(f"The key {key['name']} was added: {key['fingerprint']}.")


@ssh_keys.command()
@click.argument("key")
@common
def remove(key: str) -> None:
    """Remove KEY, a number or a name; guests forget it within half a minute."""
    with session() as one:
        found = chosen_by(one.server.get(PATH)["items"], key, "key", "ssh-keys")
        one.server.send("DELETE", f"{PATH}/{found['id']}")
        if one.settings.is_json:
            print_json({"removed": found["id"]})
        say(f"The key {found['name']} was removed.")


def _row(key: Frame) -> tuple[object, ...]:
    row = (key["id"], key["name"], key["kind"], key["fingerprint"])
    return (*row, key["bits"], moment(key["added_at"]))
