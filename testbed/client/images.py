"""Commands about images, `image save TESTBED GUEST NAME` and its like, and `copy`.

`list` prints those of the user and the shared ones; an admin's list has all.
"""

import argparse

from orchestration.amounts import size
from testbed.client.api import Client, Frame, Refused, StartedRun
from testbed.client.screen import say


def add_images(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands about images to a command line."""
    parser = commands.add_parser("image", help="save guests as images")
    verbs = parser.add_subparsers(dest="verb", required=True)
    save = verbs.add_parser("save", help="save a guest's disk as an image")
    save.set_defaults(form="image-save")
    save.add_argument("testbed", help="its name, owner/name or key")
    save.add_argument("guest", help="the guest's name")
    save.add_argument("name", help="the image's name")
    save.add_argument(
        "--shut-down", action="store_true", help="shut it down before, start it after"
    )
    verbs.add_parser("list", help="list saved images").set_defaults(form="image-list")
    delete = verbs.add_parser("delete", help="delete one of your own")
    delete.set_defaults(form="image-delete")
    delete.add_argument("name", help="the image's name")
    delete.add_argument("--yes", action="store_true", help="do not ask")


def add_copy(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command that copies a testbed to a command line."""
    parser = commands.add_parser("copy", help="copy a testbed under a new name")
    parser.set_defaults(form="copy")
    parser.add_argument("testbed", help="its name, owner/name or key")
    parser.add_argument("name", help="the name of the copy")
    parser.add_argument(
        "--disks",
        action="store_true",
        help="with the guests' disks; those that run are shut down meanwhile",
    )


def save_image(client: Client, options: argparse.Namespace) -> StartedRun:
    """Start the run that saves a guest. Raises: Refused."""
    return client.save_image(
        options.testbed, options.guest, options.name, shut_down=options.shut_down
    )


def list_images(client: Client, options: argparse.Namespace) -> None:
    """Print the saved images, one a line. Raises: Refused."""
    for image in client.images():
        say(_line(image))


def delete_image(client: Client, options: argparse.Namespace) -> None:
    """Delete the user's image of a name. Raises: Refused."""
    own = (
        one
        for one in client.images()
        if (one["name"], one["owner"]) == (options.name, options.user)
    )
    found = next(own, None)
    if found is None:
        raise Refused(f"You have no image {options.name}.")
    client.delete_image(found["id"])
    say(f"{options.name} was deleted.")


def _line(image: Frame) -> str:
    state = size(image["bytes"]) if image["ready"] else "being saved"
    shared = ", shared with all" if image["shared"] else ""
    return f"{image['name']} of {image['owner']}, {state}{shared}, sha256 {image['sha256']}"
