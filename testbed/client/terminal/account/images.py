"""`images`: disks of guests that were saved under a name, for any testbed."""

import click

from orchestration.amounts import size
from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.following import drive
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

COLUMNS = ("Image", "Owner", "Size", "Shared")
WIDE = ("Account", "Saved of", "Created", "SHA-256")


@click.group()
def images() -> None:
    """List, save and delete images of guests."""


@images.command("list")
@common
def list_images() -> None:
    """List the saved images that your YAMLs may name; JSON has the installed ones, too."""
    with session() as one:
        found = list(one.server.pages("/images"))
        whole: Frame = {"items": found}
        if one.settings.is_json:
            whole |= {"installed": one.server.get("/images", per_page=1)["installed"]}
        listing = Listing(COLUMNS, _row, "There is no saved image.", WIDE)
        listing.show(found, one.settings, whole=whole)


@images.command()
@click.argument("guest")
@click.argument("name")
@click.option(
    "--shut-down", is_flag=True, help="Shut the guest down before, and start it after."
)
@common
def save(guest: str, name: str, shut_down: bool) -> int:
    """Save the disk of the testbed's GUEST, which is off, as your image NAME."""
    wish = {"guest": guest, "name": name, "shut_down": shut_down}
    with session() as one:
        run = one.server.start(path_of(one.testbed, "images"), wish)
        return drive(one.server, run, is_json=one.settings.is_json)


@images.command()
@click.argument("name")
@yes_option
@common
def delete(name: str, yes: bool) -> None:
    """Delete your image NAME; a lab admin deletes any, as olive/NAME."""
    with session(yes=yes) as one:
        image = _image(one, name)
        one.server.delete(f"/images/{image['id']}")
        if one.settings.is_json:
            print_json({"deleted": image["name"], "owner": image["owner"]})
        say(f"The image {image['name']} of {image['owner']} was deleted.")


def _image(one: Session, name: str) -> Frame:
    """Return an image. Raises: Refusal when there is none of this name."""
    owner, _, word = name.rpartition("/")
    wanted = (owner or one.account, word)
    for image in one.server.pages("/images"):
        if (image["owner"], image["name"]) == wanted:
            return image
    raise Refusal(
        f"There is no image {wanted[1]} of {wanted[0]}.",
        hint="See `testbed images list`.",
    )


def _row(image: Frame) -> tuple[object, ...]:
    amount = size(image["bytes"]) if image["ready"] else "being saved"
    shared = "with all" if image["shared"] else "no"
    row = (image["name"], image["owner"], amount, shared)
    created = moment(image["created_at"])
    return (*row, image["account"], image["origin"], created, image["sha256"])
