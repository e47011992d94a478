"""`artefacts`: what was generated from the YAML, listed and printed, without secrets."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import click

from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.downloads import require_new, save_new
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_content, print_json, say
from testbed.client.watching import Frame

_PER_PAGE = 1000


@click.group()
def artefacts() -> None:
    """List, print and download what was generated from the YAML."""


@artefacts.command("list")
@common
def list_artefacts() -> None:
    """List the artefacts; there are none before they are generated."""
    with session() as one:
        listing = Listing(
            ("Artefact", "Place"),
            lambda found: (found["name"], found["place"]),
            "Nothing is generated yet.",
        )
        listing.show(list(_all(one)), one.settings)


@artefacts.command()
@click.argument("artefact")
@common
def show(artefact: str) -> None:
    """Print ARTEFACT, as the domain XML of a guest."""
    with session() as one:
        try:
            path = path_of(one.testbed, f"artefacts/{quote(artefact)}")
            print_content(one.server.pieces(path))
        except NotThere as exc:
            raise Refusal(
                f"There is no artefact {artefact}.",
                hint="See `testbed artefacts list`.",
            ) from exc


@artefacts.command()
@click.argument("file", type=click.Path(path_type=Path))
@common
def download(file: Path) -> None:
    """Download all artefacts as one ZIP archive, without any key, into the new FILE."""
    require_new(file)
    with session() as one:
        save_new(file, one.server.pieces(path_of(one.testbed, "artefacts.zip")))
        if one.settings.is_json:
            print_json({"file": str(file)})
        say(f"The artefacts are in {file}.")


def _all(one: Session) -> Iterator[Frame]:
    page = 1
    while True:
        path = path_of(one.testbed, "artefacts")
        found = one.server.get(path, page=page, per_page=_PER_PAGE)
        yield from found["items"]
        if not found["more"]:
            return
        page += 1
