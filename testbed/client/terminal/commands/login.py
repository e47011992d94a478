"""`login` and `logout`: a token from the server's page, kept for the next commands."""

import sys
import webbrowser
from contextlib import suppress
from socket import gethostname
from urllib.parse import urlencode

import click

from testbed.client.rest.server import Server
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common, settings
from testbed.client.terminal.tables import print_json, say
from testbed.client.terminal.tokens import (
    SignedIn,
    Tokens,
    address_of,
    is_readable_on_the_way,
)

SCOPES = ("run", "edit", "manage")
BEGIN = "tb_"


@click.command()
@click.argument("url")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["run", "edit", "manage", "admin"]),
    help="A scope to ask for; may be given more than once. Run, edit and manage unless "
    "given.",
)
@click.option("--no-browser", is_flag=True, help="Print the address alone.")
@common
def login(url: str, scopes: tuple[str, ...], no_browser: bool) -> None:
    """Sign in at the server URL with an API token.

    The page of your tokens is opened with a name and scopes filled in; paste the token
    that it shows. A program sends the token to standard input.
    """
    chosen = settings()
    address = address_of(url)
    if is_readable_on_the_way(address):
        say("The connection is not encrypted: others on the way can read the token.")
    token = _token(address, scopes or SCOPES, opens=not no_browser)
    with Server(address, token) as server:
        server.require_version()
        me = server.get("/me")
    found = SignedIn(address, str(me["account"]), token)
    place = Tokens.of_user().keep(found)
    if chosen.is_json:
        print_json({"server": address, **me})
        return
    can = ", ".join(me["scopes"] or ["all"])
    say(f"Signed in at {address} as {found.account}. The token may: {can}.")
    say(f"It is kept in {place}.")


@click.command()
@click.argument("url", default="")
@click.option("--revoke", is_flag=True, help="End the token on the server, too.")
@common
def logout(url: str, revoke: bool) -> None:
    """Forget the token of the server URL, or of the usual one.

    Without --revoke the token stays valid until it expires.
    """
    known = Tokens.of_user()
    address = address_of(url) if url else ""
    if revoke:
        if known.is_given:
            raise WrongUse(
                "TESTBED_TOKEN is set: it is not the token that is kept.",
                hint="Unset it, or use `testbed tokens revoke`.",
            )
        _revoke(known.find(address))
    address = known.forget(address)
    if settings().is_json:
        print_json({"server": address, "revoked": revoke})
    more = "" if revoke else f" It stays valid: revoke it at {address}/tokens/."
    say(f"The token of {address} is forgotten.{more}")


def _revoke(found: SignedIn) -> None:
    """End a token, which is found by its first characters. Raises: ServerProblem."""
    with Server(found.url, found.token) as server:
        for each in server.get("/tokens")["items"]:
            if found.token.startswith(each["prefix"]):
                server.send("DELETE", f"/tokens/{each['id']}")


def _token(address: str, scopes: tuple[str, ...], *, opens: bool) -> str:
    """Return the token that a person pastes, or that comes on standard input."""
    if not sys.stdin.isatty():
        text = sys.stdin.readline()
        if not text.strip():
            raise WrongUse(
                "No token came on standard input.",
                hint=f"Send one that you made at {address}/tokens/, or sign in at a "
                "terminal.",
            )
    else:
        query = [("name", f"testbed on {gethostname()}"[:60])]
        query += [("scope", scope) for scope in scopes]
        page = f"{address}/tokens/?{urlencode(query)}"
        say("Make a token on this page, and paste it here:")
        say(f"  {page}")
        if opens:
            with suppress(webbrowser.Error):
                webbrowser.open(page)
        text = click.prompt("Token", hide_input=True, err=True)
    token = text.strip()
    if not token.startswith(BEGIN) or not token.isascii() or " " in token:
        raise WrongUse(
            f"This is no API token: it does not begin with {BEGIN}.",
            hint=f"Copy the whole token from {address}/tokens/.",
        )
    return token
