"""`power`, `recreate` and `check-guest`: single guests started, made anew, checked."""

from urllib.parse import quote

import click

from orchestration.plan.power import VERBS
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.following import drive
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session


@click.command()
@click.argument("verb", type=click.Choice([str(kind) for kind in VERBS]))
@click.argument("guests")
@common
def power(verb: str, guests: str) -> int:
    """Start, stop, pause or reboot GUESTS, as web-[0-3], web-* or @all.

    Programs are not asked before guests lose what they have not written yet.
    """
    return _run("power", {"verb": verb, "selection": guests})


@click.command()
@click.argument("guests")
@yes_option
@common
def recreate(guests: str, yes: bool) -> int:
    """Erase the disks of GUESTS, as web-[0-3], and make them anew from their images.

    `testbed up --on GUESTS` brings guests up without that.
    """
    return _run("up", {"mode": "recreate", "selection": guests}, yes=yes)


@click.command("check-guest")
@click.argument("guest")
@common
def check_guest(guest: str) -> int:
    """Look once whether GUEST can be reached; the first layer that failed is named."""
    return _run(f"guests/{quote(guest, safe='')}/check", {})


def _run(place: str, wish: dict[str, object], *, yes: bool | None = None) -> int:
    with session(yes=yes) as one:
        run = one.server.start(path_of(one.testbed, place), wish)
        return drive(one.server, run, is_json=one.settings.is_json)
