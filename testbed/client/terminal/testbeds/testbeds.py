"""`testbeds`: those that the user sees, listed, made, shown, copied, shared, destroyed."""

import click

from orchestration.amounts import count_of
from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import DONE, Refusal, WrongUse
from testbed.client.terminal.following import drive
from testbed.client.terminal.options import YAML_NAME, common, settings
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.synchronising import Folder, fetch_inputs, synchronised
from testbed.client.terminal.tables import Listing, print_json, print_lines, say
from testbed.client.terminal.testbeds.changing import (
    charge,
    describe,
    rename,
    star,
    transfer,
)
from testbed.client.terminal.testbeds.protection import protect, unprotect
from testbed.client.watching import Frame

COLUMNS = ("Testbed", "Condition", "Guests", "Role")
WIDE = ("Key", "Hosts", "Ends", "Tags")


@click.group()
def testbeds() -> None:
    """List, make, show, change, protect, share, give and destroy testbeds."""


for _command in (rename, describe, star, protect, unprotect, transfer, charge):
    testbeds.add_command(_command)


@testbeds.command("list")
@click.argument("search", default="")
@click.option(
    "--whose",
    type=click.Choice(["mine", "shared", "all"]),
    default="all",
    help="Yours, those shared with you, or all that you see.",
)
@click.option("--condition", default="", help="Those in this condition alone.")
@click.option("--tag", default="", help="Those with this tag alone.")
@click.option("--sort", default="name", help="The order, as -created; by name else.")
@common
def list_testbeds(search: str, whose: str, condition: str, tag: str, sort: str) -> None:
    """List the testbeds that you see, those alone that SEARCH finds."""
    wanted = {"q": search, "condition": condition, "tag": tag, "sort": sort}
    wanted["whose"] = whose
    query = {name: value for name, value in wanted.items() if value}
    with session() as one:
        found = list(one.server.pages("/testbeds", **query))
        listing = Listing(COLUMNS, _row, "There is no testbed.", WIDE)
        listing.show(found, one.settings)


@testbeds.command()
@click.argument("name", default="")
@click.option("--example", default="", help="Of this example, without the folder.")
@common
def create(name: str, example: str) -> None:
    """Make the testbed NAME of the folder's files, and touch no host.

    Without NAME it is called as the folder.
    """
    with session() as one:
        testbed = one.meant(name)
        _require_new(one, testbed)
        if example:
            wish = {"name": testbed.rpartition("/")[2], "example": example}
            one.server.send("POST", "/testbeds", wish, is_keyed=True)
            say(f"{testbed} was made.")
        else:
            synchronised(Folder.of(one), testbed)
            _say_errors(one, testbed)
        _show(one, testbed)


@testbeds.command()
@click.argument("name", default="")
@common
def info(name: str) -> None:
    """Show the testbed NAME, the folder's unless given."""
    with session() as one:
        _show(one, one.meant(name))


@testbeds.command()
@click.argument("name", default="")
@yes_option
@common
def destroy(name: str, yes: bool) -> None:
    """Delete the testbed NAME, which is down; its files go to the trash.

    It is named here or with --project-name: no folder says which.
    """
    if not name and not settings().project_name:
        raise WrongUse("No testbed is named.", hint="Name the one to destroy.")
    with session(yes=yes) as one:
        found = one.server.delete(path_of(one.meant(name)))
        if one.settings.is_json:
            print_json(found)
        number = found["trash"]
        kept = f" `testbed trash restore {number}` brings its files back."
        say(f"{found['deleted']} was deleted.{kept if number else ''}")


@testbeds.command()
@click.argument("name")
@click.argument("copy")
@click.option(
    "--disks",
    is_flag=True,
    help="With the guests' disks; guests that run are shut down meanwhile.",
)
@common
def copy(name: str, copy: str, disks: bool) -> int:
    """Copy the YAML and files of the testbed NAME to your new testbed COPY."""
    wish = {"name": copy, "disks": disks}
    with session() as one:
        path = path_of(one.full_name(name), "copies")
        if disks:
            run = one.server.start(path, wish)
            return drive(one.server, run, is_json=one.settings.is_json)
        found = one.server.send("POST", path, wish, is_keyed=True)
        if one.settings.is_json:
            print_json(found)
        say(f"{found['testbed']} was made.")
    return DONE


@testbeds.command()
@click.argument("name")
@click.argument("user", default="")
@click.option("--group", default="", help="Share it with this group's members.")
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "editor"]),
    help="Of the share, as docs/permissions.md says.",
)
@click.option("--remove", is_flag=True, help="Take the share back.")
@common
def share(name: str, user: str, group: str, role: str | None, remove: bool) -> None:
    """Share the testbed NAME with USER or a group, or list its shares.

    A share that is there gets the role that is named.
    """
    if user and group:
        raise WrongUse("A share is a user's or a group's.", hint="Name one of them.")
    if not user and not group and (role or remove):
        raise WrongUse(
            "No user or group is named.",
            hint="Write `testbed testbeds share TESTBED NAME …`: the testbed comes first.",
        )
    with session() as one:
        path = path_of(one.full_name(name), "shares")
        if user or group:
            _change_share(one, path, user, group, role, remove=remove)
        found = one.server.get(path)["items"]
        listing = Listing(
            ("With", "Role"),
            lambda row: (row["user"] or f"group {row['group']}", row["role"]),
            f"{name} is not shared.",
        )
        listing.show(found, one.settings)


def _change_share(
    one: Session, path: str, user: str, group: str, role: str | None, *, remove: bool
) -> None:
    found = one.server.get(path)["items"]
    place = ("user", user) if user else ("group", group)
    there = next((row for row in found if row[place[0]] == place[1]), None)
    if remove and there is None:
        raise Refusal(
            f"There is no share with {place[1]}.", hint="Nothing was changed."
        )
    if remove and there:
        one.server.send("DELETE", f"{path}/{there['id']}")
    elif role is None:
        raise WrongUse("No role is named.", hint="Add --role viewer, say.")
    elif there:
        one.server.send("PATCH", f"{path}/{there['id']}", {"role": role})
    else:
        one.server.send("POST", path, {place[0]: place[1], "role": role})


def _say_errors(one: Session, testbed: str) -> None:
    """Say how many errors the server finds in the folder's YAML, if any."""
    yaml = one.settings.yaml.read_bytes().decode("utf-8", "replace")
    found = one.server.send("POST", path_of(testbed, "check"), {"yaml": yaml})
    count = sum(each["severity"] == "error" for each in found["items"])
    if count:
        say(
            f"The server finds {count_of(count, 'error')} in {YAML_NAME}: `testbed up` "
            "will refuse it. See `testbed check`."
        )


def _require_new(one: Session, testbed: str) -> None:
    try:
        fetch_inputs(one.server, testbed)
    except NotThere:
        return
    raise Refusal(
        f"{testbed} is there already.",
        hint="Use another name, or bring the folder's files to it with `testbed sync`.",
    )


def _show(one: Session, testbed: str) -> None:
    found = one.server.get(path_of(testbed))
    if one.settings.is_json:
        print_json(found)
        return
    shown = ("testbed", "key", "condition", "description", "role")
    print_lines(f"{name}: {found[name] or '-'}" for name in shown)
    print_lines([f"ends: {moment(found['ends_at']) or '-'}"])
    print_lines([f"guests: {found['guests_up']} of {found['guests']} up"])
    print_lines([f"hosts: {', '.join(found['hosts']) or '-'}"])


def _row(testbed: Frame) -> tuple[object, ...]:
    guests = f"{testbed['guests_up']}/{testbed['guests']}"
    role = testbed["role"] or ""
    row = (testbed["testbed"], testbed["condition"], guests, role)
    ends = moment(testbed["ends_at"])
    hosts, tags = ", ".join(testbed["hosts"]), " ".join(testbed["tags"])
    return (*row, testbed["key"], hosts, ends, tags)
