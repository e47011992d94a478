"""One command's way to its server: the token, the account, and the testbed meant."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testbed.client.rest.problems import (
    OTHER_SHAPE,
    NotThere,
    TokenRefused,
    not_understood,
)
from testbed.client.rest.server import Server, declines
from testbed.client.terminal.agreement import agreement
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import Settings, YamlIsLink, settings
from testbed.client.terminal.project import Link, name_of, read_link
from testbed.client.terminal.tokens import SignedIn, Tokens, address_of

# Of a traceback, for those who mend this program: the message and two places.
_MOST_TRACE = 3
# The server's sentence about an address, which a user has not typed.
_NOTHING_THERE = "There is nothing at this address"


class Session:
    """A server as a signed-in user, and the settings of the command."""

    def __init__(self, server: Server, chosen: Settings, account: str) -> None:
        self.server = server
        self.settings = chosen
        self._account = account
        self.named = ""
        self.run = 0

    @property
    def account(self) -> str:
        """The user's account, asked for once where it is not known."""
        if not self._account:
            self._account = str(self.server.get("/me")["account"])
        return self._account

    @property
    def folder(self) -> Path | None:
        """The folder with a YAML that the command is in, if any. Raises: YamlIsLink."""
        return _folder_of(self.settings)

    @property
    def link(self) -> Link:
        """The link of the folder, empty where it belongs to another server."""
        found = _link_of(self.settings)
        return found if found.server in ("", self.server.url) else Link()

    @property
    def testbed(self) -> str:
        """The full name of the testbed that is meant. Raises: WrongUse."""
        name = self.settings.project_name or self.link.testbed
        if not name:
            folder = self.folder
            if folder is None:
                raise WrongUse(
                    "No testbed is named.",
                    hint="Name it with --project-name, or go into its folder.",
                )
            name = name_of(folder)
        return self.full_name(name)

    def meant(self, name: str) -> str:
        """Return the full name of a testbed that a word names, else of the usual one.

        Raises: WrongUse.
        """
        return self.full_name(name) if name else self.testbed

    def named_run(self, number: int) -> int:
        """Take the number of a run that the user named, for a refusal."""
        self.run = number
        return number

    def full_name(self, name: str) -> str:
        """Return `olive/lab` of one's own `lab`."""
        self.named = name if "/" in name else f"{self.account}/{name}"
        return self.named


@contextmanager
def session(*, yes: bool | None = None) -> Iterator[Session]:
    """Open the server of the command that runs; `yes` agrees to what is erased.

    The server of the folder is used unless another one is named. Raises: WrongUse (no
    server, or no token for it).
    """
    chosen = settings()
    found = signed_in(chosen)
    agrees = declines if yes is None else agreement(yes=yes)
    with Server(found.url, found.token, agrees=agrees) as server:
        one = Session(server, chosen, found.account)
        try:
            yield one
        except NotThere as exc:
            raise _named(exc, one) from exc
        except TokenRefused as exc:
            raise TokenRefused(
                exc.message,
                hint=f"Sign in again with `testbed login {found.url}`.",
                status=exc.status,
                body=exc.body,
            ) from exc
        except (UnicodeError, OSError):  # of this machine's files and terminal
            raise
        except OTHER_SHAPE as exc:
            trace = "".join(traceback.format_exception(exc)[-_MOST_TRACE:])
            raise not_understood(exc, detail=trace) from exc


def signed_in(chosen: Settings) -> SignedIn:
    """Return the server that a command uses, and its token. Raises: WrongUse."""
    known = Tokens.of_user()
    # A folder may come from a stranger: what it names gets no token of the environment.
    url = chosen.server or ("" if known.is_given else _link_of(chosen).server)
    return known.find(address_of(url) if url else "")


def _named(exc: NotThere, one: Session) -> NotThere:
    """Return the refusal of a testbed or run that is not there with its name."""
    if not exc.message.startswith(_NOTHING_THERE):
        return exc
    if one.run:
        words = f"There is no run {one.run}, or you do not see it."
        hint = "See `testbed runs` and `testbed runs --all`."
    elif one.named:
        words = f"There is no testbed {one.named}, or not what you named of it."
        hint = (
            "See `testbed testbeds list`. `testbed up` makes the testbed of a folder."
        )
    else:
        return exc
    return NotThere(words, hint=hint, status=exc.status, body=exc.body)


def _folder_of(chosen: Settings) -> Path | None:
    """Return the folder that has a YAML, or None. Raises: YamlIsLink."""
    try:
        return chosen.yaml.parent
    except YamlIsLink:
        raise
    except WrongUse:
        return None


def _link_of(chosen: Settings) -> Link:
    folder = _folder_of(chosen)
    return read_link(folder) if folder else Link()
