"""`testbeds rename`, `describe`, `star`, `charge` and `transfer`: words and accounts."""

import click

from testbed.client.rest.addresses import path_of
from testbed.client.terminal.account.groups import number_of_group
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.project import follow_rename
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import print_json, say


@click.command()
@click.argument("name")
@click.argument("new_name")
@common
def rename(name: str, new_name: str) -> None:
    """Give the testbed NAME another name; its former address leads to the new one.

    The present folder, where it is the testbed's, follows.
    """
    with session() as one:
        testbed, folder = one.full_name(name), one.folder
        found = one.server.send("PATCH", path_of(testbed), {"name": new_name})
        if folder:
            follow_rename(folder, one.server.url, testbed, found["testbed"])
        if one.settings.is_json:
            print_json(found)
        say(f"{testbed} is {found['testbed']} now.")


@click.command()
@click.argument("name", default="")
@click.option("--description", help="Words about it, in place of the present ones.")
@click.option("--tag", "tags", multiple=True, help="Its tags, in place of the others.")
@click.option("--no-tags", is_flag=True, help="Take all its tags away.")
@common
def describe(
    name: str, description: str | None, tags: tuple[str, ...], no_tags: bool
) -> None:
    """Change the description and the tags of the testbed NAME, the folder's else."""
    wish: dict[str, object] = {}
    if description is not None:
        wish["description"] = description
    if tags or no_tags:
        wish["tags"] = [] if no_tags else list(tags)
    if not wish or (tags and no_tags):
        raise WrongUse(
            "No change is named, or two.", hint="Use --description, --tag or --no-tags."
        )
    with session() as one:
        found = one.server.send("PATCH", path_of(one.meant(name)), wish)
        if one.settings.is_json:
            print_json(found)
        words = " ".join(found["tags"]) or "none"
        say(f"{found['testbed']}: {found['description'] or '-'}; tags: {words}.")


@click.command()
@click.argument("name", default="")
@click.option("--remove", is_flag=True, help="Take the star away.")
@common
def star(name: str, remove: bool) -> None:
    """Mark the testbed NAME, the folder's else, as a favourite: it is listed first."""
    with session() as one:
        testbed = one.meant(name)
        method = "DELETE" if remove else "PUT"
        found = one.server.send(method, path_of(testbed, "favourite"))
        if one.settings.is_json:
            print_json({"testbed": testbed, **found})
        say(f"{testbed} is {'no' if remove else 'a'} favourite of yours.")


@click.command()
@click.argument("name")
@click.argument("group", default="")
@common
def charge(name: str, group: str) -> None:
    """Charge the testbed NAME to GROUP, or without one to its owner.

    The testbed counts against the limits of that account then.
    """
    with session() as one:
        testbed = one.full_name(name)
        wish = {"group": number_of_group(one, group) if group else None}
        found = one.server.send("PUT", path_of(testbed, "charge"), wish)
        if one.settings.is_json:
            print_json({"testbed": testbed, **found})
        say(f"{testbed} is charged to {found['account']}.")


@click.command()
@click.argument("name")
@click.argument("user")
@click.option(
    "--former-role",
    type=click.Choice(["viewer", "operator", "editor"]),
    help="The role that you keep; none unless given.",
)
@common
def transfer(name: str, user: str, former_role: str | None) -> None:
    """Give the testbed NAME to USER, who has a share of it.

    It counts against the limits of USER then.
    """
    with session() as one:
        testbed = one.full_name(name)
        wish = {"to": user, "former_role": former_role or ""}
        found = one.server.send("PUT", path_of(testbed, "owner"), wish)
        if one.settings.is_json:
            print_json(found)
        say(f"{testbed} is {found['testbed']} now.")
