"""`power`: guests are started and stopped."""

import click

from orchestration.plan.power import VERBS
from testbed.client.rest.addresses import path_of
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
    with session() as one:
        wish = {"verb": verb, "selection": guests}
        run = one.server.start(path_of(one.testbed, "power"), wish)
        return drive(one.server, run, is_json=one.settings.is_json)
