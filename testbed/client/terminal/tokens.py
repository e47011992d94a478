"""Where the command line keeps the tokens of its servers: the keyring, or a file.

`$XDG_CONFIG_HOME/testbed/servers.json` has each server's account and which one is the
usual one. The token is in the keyring where the package `keyring` has one, else in this
file, which only its user may read. `TESTBED_TOKEN` replaces both, for programs.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestration.errors import TestbedError
from orchestration.files import write_whole
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.lazy import optional

SERVICE = "testbed"
MODE = 0o600
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_OWN = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A server, the account there, and the token; an empty account is not known yet."""

    url: str
    account: str
    token: str


def address_of(url: str) -> str:
    """Return a server's address without a path; https unless written. Raises: WrongUse."""
    try:
        place = urlsplit(url if "://" in url else f"https://{url}")
        is_server = place.scheme in ("http", "https") and _HOST.fullmatch(place.netloc)
        port = place.port
    except ValueError:
        is_server, port = None, None
    if not is_server or port == 0:
        raise WrongUse(
            f"{url} is no address of a server.", hint="Write https://testbed.example."
        )
    return f"{place.scheme}://{place.netloc}"


def is_readable_on_the_way(address: str) -> bool:
    """Return whether requests to a server leave this machine without encryption."""
    place = urlsplit(address)
    return place.scheme == "http" and place.hostname not in _OWN


class Tokens:
    """The servers that a user signed in at; `folder` is the one of the settings."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str], *, keyring: Any = None
    ) -> None:
        self._file = folder / "testbed" / "servers.json"
        self._environment = environment
        self._keyring = keyring

    @classmethod
    def of_user(cls) -> "Tokens":
        """Return the present user's."""
        home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
        return cls(Path(home), os.environ, keyring=optional("keyring"))

    @property
    def is_given(self) -> bool:
        """Whether the environment has a token."""
        return bool(self._environment.get("TESTBED_TOKEN"))

    def find(self, url: str) -> SignedIn:
        """Return a server's token, of the usual server without a `url`.

        Raises: WrongUse when nobody signed in there.
        """
        known = self._read()
        url = (url or str(known.get("usual", ""))).rstrip("/")
        given = self._environment.get("TESTBED_TOKEN", "")
        if not url:
            raise WrongUse(
                "No server is known.", hint="Sign in with `testbed login URL`."
            )
        entry = known.get("servers", {}).get(url, {})
        if given:
            return SignedIn(url, "", given)
        token = entry.get("token") or self._from_keyring(url)
        if not token:
            raise WrongUse(
                f"You are not signed in at {url}.",
                hint=f"Sign in with `testbed login {url}`.",
            )
        return SignedIn(url, str(entry.get("account", "")), str(token))

    def keep(self, found: SignedIn) -> str:
        """Keep a token, and make its server the usual one; return where it is."""
        known = self._read()
        is_safe = self._to_keyring(found)
        entry = {"account": found.account} | ({} if is_safe else {"token": found.token})
        known["usual"] = found.url
        known["servers"] = known.get("servers", {}) | {found.url: entry}
        self._write(known)
        return "the keyring" if is_safe else str(self._file)

    def forget(self, url: str) -> str:
        """Forget a server, the usual one without a `url`; return its address.

        Raises: WrongUse when it is not known.
        """
        known = self._read()
        url = (url or str(known.get("usual", ""))).rstrip("/")
        servers = dict(known.get("servers", {}))
        if url not in servers:
            raise WrongUse(
                f"You are not signed in at {url or 'any server'}.",
                hint="Nothing was changed.",
            )
        del servers[url]
        self._drop_from_keyring(url)
        usual = known.get("usual", "")
        known["usual"] = next(iter(servers), "") if usual == url else usual
        self._write(known | {"servers": servers})
        return url

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as exc:
            raise TestbedError(
                f"{self._file} cannot be read.", hint="Delete it, and sign in again."
            ) from exc
        return found if isinstance(found, dict) else {}

    def _write(self, known: Mapping[str, object]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(self._file, json.dumps(known, indent=1).encode(), mode=MODE)

    def _from_keyring(self, url: str) -> str:
        if self._keyring is None:
            return ""
        try:
            return str(self._keyring.get_password(SERVICE, url) or "")
        except Exception:  # noqa: BLE001  # each back end raises its own
            return ""

    def _to_keyring(self, found: SignedIn) -> bool:
        if self._keyring is None:
            return False
        try:
            self._keyring.set_password(SERVICE, found.url, found.token)
        except Exception:  # noqa: BLE001  # no back end, or a locked one
            return False
        return True

    def _drop_from_keyring(self, url: str) -> None:
        if self._keyring is None:
            return
        try:
            self._keyring.delete_password(SERVICE, url)
        except Exception:  # noqa: BLE001  # it was in the file
            return
