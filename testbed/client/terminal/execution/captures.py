"""`capture`: the packets of a guest's interface, or of a bridge, into a file."""

from pathlib import Path

import click

from testbed.client.board.model import Board
from testbed.client.board.shown import JsonLines, PlainLines
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.downloads import OUTPUT, require_new, save_new
from testbed.client.terminal.exits import DONE, WrongUse
from testbed.client.terminal.following import Follower
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, say
from testbed.client.watching import Frame


@click.command()
@click.argument("guest", default="")
@click.option("--interface", default="", help="Of the guest; its first unless given.")
@click.option("--bridge", default="", help="All packets of this bridge instead.")
@click.option("--host", default="", help="The bridge on this host.")
@click.option("--filter", default="", help="As tcpdump takes it: 'icmp and port 53'.")
@click.option("--snaplen", type=int, help="So many bytes of each packet; whole else.")
@click.option("--most-mib", type=int, help="It ends after so many MiB.")
@click.option("--most-s", type=int, help="It ends after so many seconds.")
@click.option(
    "-w",
    "--write",
    "file",
    type=click.Path(path_type=Path),
    help="The new file; RUN.pcap unless given.",
)
@click.option("--list", "lists", is_flag=True, help="List the places of a capture.")
@common
def capture(guest: str, file: Path | None, lists: bool, **wish: object) -> int:
    """Capture the packets of GUEST or of a bridge until Ctrl+C or its limits.

    They are written into a file at the end. `testbed packets RUN -` has them as they
    come.
    """
    if lists:
        _list()
        return 0
    if bool(guest) == bool(wish["bridge"]):
        raise WrongUse(
            "A capture is of one guest or one bridge.",
            hint="Name GUEST, or use --bridge. `testbed capture --list` has all places.",
        )
    if file is not None:
        require_new(file)
    if file == OUTPUT:
        raise WrongUse(
            "Packets come at the end.", hint="Use `testbed packets RUN -` for a pipe."
        )
    chosen = {name: value for name, value in wish.items() if value}
    body: Frame = {"form": "capture", "capture": {"guest": guest} | chosen}
    return _captured(body, file)


def _captured(body: Frame, file: Path | None) -> int:
    with session() as one:
        run = one.server.start(path_of(one.testbed, "exec"), body)
        say(f"Run {run.number} captures. Ctrl+C ends it.")
        is_json = one.settings.is_json
        screen = JsonLines() if is_json else PlainLines(Board.of(run.instructions))
        follower = Follower(one.server, run, screen)
        code = follower.drive()
        if follower.end:
            to = file or Path(f"{run.number}.pcap")
            _save(one, run.number, to, code)
    return code


def _save(one: Session, run: int, to: Path, code: int) -> None:
    """Download the packets of a run that ended; one that failed may have none."""
    try:
        save_new(to, one.server.pieces(f"/runs/{run}/capture.pcap"))
    except NotThere:
        if code == DONE:
            raise
        say("No packet was kept.")
    else:
        say(f"The packets are in {to}.")


def _list() -> None:
    with session() as one:
        found = one.server.get(path_of(one.testbed, "captures"))["items"]
        listing = Listing(
            ("Place", "About"),
            lambda each: (each["place"], each["about"]),
            "Nothing can be captured before the testbed is generated.",
        )
        listing.show(found, one.settings)
