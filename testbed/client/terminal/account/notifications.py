"""`notifications`: what the server told a user, by which ways, and how it arrived."""

import click

from testbed.client.board.moments import moment
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

PATH = "/notifications"
COLUMNS = ("Number", "When", "Title", "Read")
WIDE = ("Kind", "Text", "Page")
WAYS = ("browser", "mail", "webhook")
count_option = click.option(
    "-n", "--count", type=click.IntRange(1, 1000), default=20, help="So many, 20 else."
)


@click.group()
def notifications() -> None:
    """List notifications, mark them as read, and choose their ways."""


@notifications.command("list")
@click.option("--unread", is_flag=True, help="Those alone that you have not read.")
@count_option
@common
def list_notifications(unread: bool, count: int) -> None:
    """List what you were told, the newest first."""
    with session() as one:
        query = {"unread": "true"} if unread else {}
        found = one.server.get(PATH, **query, per_page=count)["items"]
        listing = Listing(
            COLUMNS, lambda each: _row(one, each), "There is no notification.", WIDE
        )
        listing.show(found, one.settings)


@notifications.command()
@click.argument("number", type=click.IntRange(1), required=False)
@common
def read(number: int | None) -> None:
    """Mark the notification NUMBER and all before it as read; all unless given."""
    with session() as one:
        newest = one.server.get(PATH, per_page=1)["items"]
        found: Frame = {"read": 0}
        if newest:
            wish = {"newest": number or newest[0]["id"]}
            found = one.server.send("POST", f"{PATH}/read", wish)
        if one.settings.is_json:
            print_json(found)
        say(f"{found['read']} were unread.")


@notifications.command()
@click.argument("kind", default="")
@click.option(
    "--by",
    "chosen",
    multiple=True,
    type=click.Choice(WAYS),
    help="A way; may be given more than once.",
)
@click.option("--none", "is_none", is_flag=True, help="Tell nothing of this kind.")
@common
def ways(kind: str, chosen: tuple[str, ...], is_none: bool) -> None:
    """Show by which ways you are told of what, or choose those of KIND."""
    if bool(kind) != bool(chosen or is_none) or (chosen and is_none):
        raise WrongUse(
            "A kind and its ways belong together.",
            hint="Write `testbed notifications ways run_ended --by mail`, or --none.",
        )
    with session() as one:
        found = one.server.get(f"{PATH}/ways")["ways"]
        if kind and kind not in found:
            hint = f"Use one of {', '.join(found)}."
            raise WrongUse(f"There is no kind {kind}.", hint=hint)
        if kind:
            wish = {"ways": {**found, kind: list(chosen)}}
            found = one.server.send("PUT", f"{PATH}/ways", wish)["ways"]
        if one.settings.is_json:
            print_json({"ways": found})
            return
        listing = Listing(
            ("Kind", "Ways"),
            lambda each: (each[0], ", ".join(each[1]) or "none"),
            "There are no kinds.",
        )
        listing.show(list(found.items()), one.settings)


@notifications.command()
@count_option
@common
def deliveries(count: int) -> None:
    """List your mails and webhook calls, the newest first, and how they were answered."""
    with session() as one:
        found = one.server.get("/deliveries", per_page=count)["items"]
        listing = Listing(
            ("When", "By", "Title", "Status", "Tries", "Said"),
            lambda each: (
                moment(each["told_at"]),
                *(each[key] for key in ("by", "title", "status", "attempts", "said")),
            ),
            "There is no delivery.",
        )
        listing.show(found, one.settings)


def _row(one: Session, found: Frame) -> tuple[object, ...]:
    is_read = "yes" if found["read"] else "no"
    row = (found["id"], moment(found["at"]), found["title"], is_read)
    return (*row, found["kind"], found["text"], f"{one.server.url}{found['path']}")
