"""`source`: the Git repository from which a testbed's files come."""

import time
from collections.abc import Callable

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.exits import CANCELLED, DONE, FAILED, Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, print_lines, say
from testbed.client.watching import Frame

COLUMNS = ("Fetch", "Status", "Asked", "Commit", "Subject", "Said")
WIDE = ("By", "Changes")
OVER = ("succeeded", "conflict", "failed")
EVERY_S = 1.0
_SHORT = 10


@click.group()
def source() -> None:
    """Show, set, remove and fetch the source of the testbed's files."""


@source.command()
@common
def show() -> None:
    """Show the repository, the deploy key and the commit that was fetched last."""
    with session() as one:
        try:
            found = one.server.get(path_of(one.testbed, "source"))
        except NotThere as exc:
            if "source" not in exc.message:
                raise
            raise Refusal(
                f"{one.testbed} has no source.",
                hint="Set one with `testbed source set`.",
            ) from exc
        _show(one, found)


@source.command("set")
@click.argument("url")
@click.option("--branch", default="main", help="The branch, main unless given.")
@click.option("--folder", default="", help="A folder in it; its top unless given.")
@common
def set_source(url: str, branch: str, folder: str) -> None:
    """Let the files come from the repository URL, by https or ssh.

    The secret of the webhook is printed this one time. Over ssh, add the deploy key
    to the repository; the forge's host key is confirmed on the page Source.
    """
    wish = {"url": url, "branch": branch, "folder": folder}
    with session() as one:
        found = one.server.send("PUT", path_of(one.testbed, "source"), wish)
        _show(one, found)
        if found["deploy_key"] and not found["host_key_confirmed"]:
            say(
                "Add the deploy key to the repository, and confirm the host key on "
                f"{_page(one)}."
            )
        else:
            say("Fetch it with `testbed source fetch`.")


@source.command()
@common
def remove() -> None:
    """Remove the source, its deploy key and its webhook; the files stay."""
    with session() as one:
        found = one.server.send("DELETE", path_of(one.testbed, "source"))
        if one.settings.is_json:
            print_json(found)
        say(f"{one.testbed} has no source any more. It was {found['removed']}.")


@source.command()
@click.option("-d", "--detach", is_flag=True, help="Ask for it, and do not wait.")
@common
def fetch(detach: bool) -> int:
    """Fetch the newest commit, and write its files into the testbed.

    The exit code is 1 when the fetch failed, or ended with a conflict. Ctrl+C leaves it:
    the fetch goes on.
    """
    with session() as one:
        path = path_of(one.testbed, "source")
        found = one.server.send("POST", f"{path}/fetch")
        if not detach:
            try:
                found = _awaited(one, f"{path}/fetches", found)
            except KeyboardInterrupt:
                number = found["id"]
                say(f"Fetch {number} goes on. See `testbed source fetches`.")
                return CANCELLED
        if one.settings.is_json:
            print_json(found)
        else:
            _say_fetch(one, found)
    return FAILED if found["status"] in OVER[1:] else DONE


@source.command()
@click.option(
    "-n", "--count", type=click.IntRange(1, 100), default=20, help="So many, 20 else."
)
@common
def fetches(count: int) -> None:
    """List the last fetches."""
    with session() as one:
        path = path_of(one.testbed, "source/fetches")
        found = one.server.get(path, per_page=count)["items"]
        empty = f"{one.testbed} was not fetched yet."
        Listing(COLUMNS, _row, empty, WIDE).show(found, one.settings)


def _awaited(
    one: Session, path: str, found: Frame, sleep: Callable[[float], None] = time.sleep
) -> Frame:
    """Return a fetch when it is over. Raises: as `Server.get`."""
    while found["status"] not in OVER:
        sleep(EVERY_S)
        items = one.server.get(path, per_page=100)["items"]
        found = next(each for each in items if each["id"] == found["id"])
    return found


def _say_fetch(one: Session, found: Frame) -> None:
    commit = f" {found['commit'][:_SHORT]}" if found["commit"] else ""
    say(f"Fetch {found['id']}{commit}: {found['status']}. {found['said']}".strip())
    print_lines(
        f"{kind} {path}"
        for kind in ("added", "changed", "removed", "kept", "conflicts")
        for path in found[kind]
    )
    if found["conflicts"]:
        say(f"Decide on {_page(one)}.")


def _show(one: Session, found: Frame) -> None:
    if one.settings.is_json:
        print_json(found)
        return
    commit = f"{found['commit'][:_SHORT]} {found['subject']}".strip()
    rows = {
        "repository": found["url"],
        "branch": found["branch"],
        "folder": found["folder"] or "-",
        "commit": commit or "not fetched yet",
        "fetched": moment(found["fetched_at"]) or "-",
        "deploy key": found["deploy_key"] or "-",
        "webhook": f"{one.server.url}{found['webhook']}",
    }
    if found["deploy_key"]:
        to_do = f"to confirm on {_page(one)}"
        rows["host key"] = "confirmed" if found["host_key_confirmed"] else to_do
    if found["secret"]:
        rows["secret, shown once"] = found["secret"]
    print_lines(f"{name}: {value}" for name, value in rows.items())


def _page(one: Session) -> str:
    return f"{one.server.url}{path_of(one.testbed, 'source')}/"


def _row(found: Frame) -> tuple[object, ...]:
    row = (found["id"], found["status"], moment(found["asked_at"]))
    kinds = ("added", "changed", "removed", "kept", "conflicts")
    changes = [f"{len(found[kind])} {kind}" for kind in kinds if found[kind]]
    words = (found["commit"][:_SHORT], found["subject"], found["said"])
    return (*row, *words, found["by"], ", ".join(changes))
