"""Checks what a user writes of a repository: address, branch and folder.

Only plain forms pass, so that nothing of it is an option, another transport or a second
address to git or ssh.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from orchestration.errors import PathOutside, TestbedError
from testbed.models.sources.rows import MOST_BRANCH, MOST_FOLDER, MOST_URL
from testbed.testbeds.uploads import safe_path

EXAMPLE = (
    "Write https://git.example.org/lab/testbed.git, or for a deploy key "
    "git@git.example.org:lab/testbed.git."
)
MOST_PORT = 65_535
_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)"
_USER = r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{0,63})"
_PORT = r"(?::(?P<port>[0-9]{1,5}))?"
# Printable ASCII without quotes, backslash and what begins a query.
_PATH = r"(?P<path>[A-Za-z0-9_.~+@%=,:/-]+)"
_FORMS = {
    "https": re.compile(rf"https://{_HOST}{_PORT}/{_PATH}"),
    "ssh": re.compile(rf"ssh://(?:{_USER}@)?{_HOST}{_PORT}/{_PATH}"),
    "file": re.compile(r"file://(?P<path>/[A-Za-z0-9_./-]+)"),
}
# As `git clone` takes it. A path that begins with `/` or `-` is written as ssh://.
_SHORT = re.compile(rf"{_USER}@{_HOST}:(?![/-]){_PATH}")
_PORTS = {"https": 443, "ssh": 22}
# As git-check-ref-format(1) says, and in ASCII.
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@#=,-]*")
_NO_BRANCH = re.compile(r"\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$")


class SourceRefused(TestbedError):
    """A repository cannot be used as it was written, or not now."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository's address, as git gets it, and where that leads."""

    url: str
    protocol: str
    host: str = ""
    port: int = 0
    user: str = ""

    @property
    def is_ssh(self) -> bool:
        """Return whether a deploy key and a host key are needed."""
        return self.protocol == "ssh"


def place_of(text: str, protocols: frozenset[str] = frozenset(_PORTS)) -> Place:
    """Return the parts of a repository's address. Raises: SourceRefused."""
    url = text.strip()
    if len(url) > MOST_URL:
        raise SourceRefused(f"The address has more than {MOST_URL} characters.")
    protocol, _, rest = url.partition("://")
    if not rest:
        protocol, found = "ssh", _SHORT.fullmatch(url)
    elif _has_secret(protocol, rest.partition("/")[0]):
        raise SourceRefused(
            "The address of a repository has no user or password.",
            hint="For one that is not public, use ssh and its deploy key.",
        )
    else:
        found = _FORMS[protocol].fullmatch(url) if protocol in _FORMS else None
    if found is None or protocol not in protocols:
        raise SourceRefused(
            "This is no address of a repository over https or ssh.", hint=EXAMPLE
        )
    parts = found.groupdict()
    if ".." in parts["path"].split("/"):
        raise SourceRefused("The repository's path has `..`.", hint=EXAMPLE)
    if not unquote(parts["path"]).isprintable():
        raise SourceRefused("The repository's path has a control character.")
    port = int(parts.get("port") or _PORTS.get(protocol, 0))
    if protocol in _PORTS and not 0 < port <= MOST_PORT:
        raise SourceRefused("The port is none.", hint=EXAMPLE)
    host, user = (parts.get("host") or "").lower(), parts.get("user") or ""
    return Place(url, protocol, host, port, user)


def _has_secret(protocol: str, host: str) -> bool:
    """Return whether the part before the path has a password, or a user of https."""
    user, at, _ = host.rpartition("@")
    return bool(at) and (protocol == "https" or (protocol == "ssh" and ":" in user))


def branch_of(text: str) -> str:
    """Return a branch's name. Raises: SourceRefused."""
    branch = text.strip()
    is_one = _BRANCH.fullmatch(branch) and not _NO_BRANCH.search(branch)
    if not is_one or len(branch) > MOST_BRANCH:
        raise SourceRefused(
            "This is no name of a branch.", hint="Write it as main or release/2."
        )
    return branch


def folder_of(text: str) -> str:
    """Return a folder within the repository; empty for all of it.

    Raises: SourceRefused.
    """
    folder = text.strip().strip("/")
    if folder in ("", "."):
        return ""
    if len(folder) > MOST_FOLDER:
        raise SourceRefused(f"The folder has more than {MOST_FOLDER} characters.")
    try:
        return safe_path(folder)
    except PathOutside as exc:
        raise SourceRefused(
            "The folder is not within the repository.", hint="Write it as labs/first."
        ) from exc
