"""The way from a user's machine into guests: a line to copy, and files for `ssh -F`.

A guest is reached through the host that has the way to it (`State.way_to`). Guests and
hosts are named in `known_hosts` by aliases, with the keys that the testbed pinned, so
that an address which another guest had before says nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.http import HttpRequest

from orchestration.project.folder import Project
from orchestration.project.host_keys import pinned_key
from orchestration.project.keys import fingerprint
from orchestration.state.model import GuestState, State
from testbed.models import Host
from testbed.ssh.jump_account import ACCOUNT, Jump

# Of what is written into a file that ssh reads as words.
_WORD = re.compile(r"[A-Za-z0-9.:_-]+")
_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+")
SSH_PORT = 22


@dataclass(frozen=True, slots=True)
class Through:
    """A host that is passed through. `is_ours`: by the jump account."""

    host: str
    address: str
    port: int
    user: str
    host_key: str
    is_ours: bool

    @property
    def place(self) -> str:
        """It as ssh's option -J takes it."""
        port = f":{self.port}" if self.port != SSH_PORT else ""
        return f"{self.user}@{_bracketed(self.address)}{port}"


@dataclass(frozen=True, slots=True)
class SshWay:
    """A guest with its account and the host that is passed through.

    `host_key` is empty while the guest has not reported its own.
    """

    testbed: str
    guest: str
    address: str
    user: str
    host_key: str
    through: Through

    @property
    def alias(self) -> str:
        """Its name for host keys: guests on other hosts may have the same address."""
        return f"{self.guest}.{self.testbed}.testbed"

    @property
    def line(self) -> str:
        """The command that logs in."""
        words = f"-J {self.through.place} -o HostKeyAlias={self.alias}"
        return f"ssh {words} {self.user}@{self.address}"

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the guest's host key; empty while it is unknown."""
        return fingerprint(self.host_key) if self.host_key else ""

    @property
    def host_fingerprint(self) -> str:
        """The fingerprint of the host's key; empty where none is pinned."""
        return fingerprint(self.through.host_key) if self.through.host_key else ""


def web_name(request: HttpRequest) -> str:
    """Return the name by which a request's client reaches main, without a port."""
    return urlsplit(f"//{request.get_host()}").hostname or ""


def ways_into(
    state: State,
    project: Project,
    guests: Iterable[GuestState],
    *,
    web: str,
    hosts: Iterable[Host] | None = None,
) -> list[SshWay]:
    """Return the ways into those guests that have an account and a known address.

    `web` is the name under which the user's browser reaches main, `hosts` are all hosts,
    where they were asked before.
    """
    known = Host.objects.all() if hosts is None else hosts
    rows = {row.name: row for row in known}
    found = []
    for guest in guests:
        way = state.way_to(guest)
        row = rows.get(way.host)
        host = through(row, web) if row else None
        words = (way.address, guest.user, *((host.address, host.user) if host else ()))
        if host is None or not guest.seed or not all(map(_WORD.fullmatch, words)):
            continue
        key = _key(pinned_key(project, guest.name))
        place = (way.address, guest.user, key)
        found.append(SshWay(state.testbed, guest.name, *place, host))
    return found


def through(row: Host, web: str) -> Through:
    """Return how users pass through a host: by our account, else by its own."""
    jump = Jump.model_validate(row.jump)
    address = row.address or (web if row.is_main else "")
    user = ACCOUNT if jump.works else row.user
    key = _key(row.host_key or jump.host_key)
    return Through(row.name, address, row.port, user, key, jump.works)


def config_text(ways: list[SshWay]) -> str:
    """Return a file for `ssh -F`, to be used in its own folder."""
    return "\n".join(_config(ways))


def known_hosts_text(ways: list[SshWay]) -> str:
    """Return the pinned keys of guests and hosts."""
    hosts = {way.through.host: way.through for way in ways}.values()
    lines = [f"{_alias(h.host)} {h.host_key}\n" for h in hosts if h.host_key]
    lines += [f"{way.alias} {way.host_key}\n" for way in ways if way.host_key]
    return "".join(lines)


def _config(ways: list[SshWay]) -> Iterator[str]:
    yield "# Use it in its folder: ssh -F ssh_config NAME"
    for way in ways:
        yield f"\nHost {way.guest}"
        yield f"  HostName {way.address}"
        yield f"  User {way.user}"
        yield f"  ProxyJump jump.{way.through.host}"
        yield f"  HostKeyAlias {way.alias}"
        if not way.host_key:
            yield "  # It has not reported its host key: download this again after Up."
    for host in {way.through.host: way.through for way in ways}.values():
        yield f"\nHost jump.{host.host}"
        yield f"  HostName {host.address}"
        yield f"  Port {host.port}"
        if not host.is_ours:
            yield f"  # {host.host} has no jump account: write your own account there."
        yield f"  User {host.user}"
        yield f"  HostKeyAlias {_alias(host.host)}"
        if not host.host_key:
            yield "  # Its host key is not known to the testbed: compare what ssh shows."
            yield "  StrictHostKeyChecking ask"
    yield "\nHost *"
    yield "  UserKnownHostsFile known_hosts"
    yield "  GlobalKnownHostsFile none"
    yield "  StrictHostKeyChecking yes"
    yield "  ForwardAgent no\n"


def _alias(host: str) -> str:
    return f"{host}.host.testbed"


def _key(line: str) -> str:
    """Return a key's type and itself, without its comment; nothing of other text."""
    key = " ".join(line.split()[:2])
    return key if _KEY.fullmatch(key) else ""


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
