"""The first contact with a new host: its server, its key, and the login.

Before a lab admin has confirmed the host's key, nothing but the key exchange is made.
Afterwards only the confirmed key is spoken to: another one is refused.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
    TestbedError,
)
from orchestration.transport.base import Scope, Transport
from orchestration.transport.reachable import HOST, require_login
from orchestration.transport.ssh.first_contact import HostKey, host_key_of, public_line
from orchestration.transport.ssh.login import UNKNOWN_NAME
from testbed.hosts.requirements import (
    CONTACT,
    MENDS,
    ON_MAIN,
    REQUIREMENTS,
    Verdict,
    lacking,
    ok,
    skipped,
)
from testbed.models import NewHost

Ask = Callable[[], HostKey]
_KEY_FILES = {"ssh-ed25519": "ed25519", "ssh-rsa": "rsa"}


@dataclass(frozen=True, slots=True)
class Contact:
    """The verdicts of the first three requirements, and the key that was seen."""

    verdicts: Mapping[str, Verdict]
    seen_key: str = ""


def contact(
    new: NewHost, ask: Ask, transport: Transport, known_keys: Mapping[str, str]
) -> Contact:
    """Speak to a new host as far as its key is confirmed.

    `ask` makes the key exchange alone; `known_keys` has other hosts' names by their keys.
    """
    if new.is_main:
        return Contact(dict.fromkeys(CONTACT, ok(ON_MAIN)))
    if not new.host_key:
        return _first(new, ask, known_keys)
    seen = host_key_of(new.host_key)
    return Contact(_with_key(new, seen, transport))


def _first(new: NewHost, ask: Ask, known_keys: Mapping[str, str]) -> Contact:
    try:
        key = ask()
    except HostUnreachable as exc:
        return Contact(_rows(ssh=_no_server(exc)))
    verdict = _to_confirm(new, key, known_keys.get(key.line, ""))
    is_new = key.line not in known_keys
    rows = _rows(ssh=ok(f"An SSH server answers at {new.address}."), host_key=verdict)
    return Contact(rows, key.line if is_new else "")


def _no_server(problem: TestbedError) -> Verdict:
    if UNKNOWN_NAME in problem.message:  # nothing on the host mends that
        return lacking(
            f"{problem.message} Correct it in the DNS or in /etc/hosts of main, or "
            "discard this host and add it again with its IP address."
        )
    return lacking(problem.sentence, MENDS["ssh"])


def _to_confirm(new: NewHost, key: HostKey, other: str) -> Verdict:
    if other:
        return lacking(
            f"{other} has the same key ({key.kind} {key.fingerprint}): it is the same "
            "machine, or one was copied from the other. On a copy, make new keys.",
            "rm /etc/ssh/ssh_host_*_key* && ssh-keygen -A && systemctl restart ssh",
        )
    file = _KEY_FILES.get(key.kind, "ecdsa")
    before = ""
    if new.seen_key and new.seen_key != key.line:
        was = host_key_of(new.seen_key)
        before = f" Before, it answered with {was.kind} {was.fingerprint}."
    return lacking(
        f"{key.kind} {key.fingerprint} is to be confirmed.{before} Compare it with what "
        "this command prints on the host's own console.",
        f"ssh-keygen -lf /etc/ssh/ssh_host_{file}_key.pub",
    )


def _with_key(new: NewHost, key: HostKey, transport: Transport) -> dict[str, Verdict]:
    server = ok(f"An SSH server answers at {new.address}.")
    by = f", confirmed by {new.confirmed_by}" if new.confirmed_by else ""
    pinned = ok(f"{key.kind} {key.fingerprint}{by}.")
    try:
        require_login(transport, HOST, scope=Scope())
    except HostKeyMismatch as exc:
        seen = exc.detail.rpartition("seen ")[2]
        text = (
            f"It answers with another key than the confirmed {key.fingerprint}: {seen}. "
            "Nothing was sent to it. If it was not installed again, another machine "
            "answers in its place: stop here. Otherwise discard this page's host, add it "
            "again and compare the new key."
        )
        return _rows(ssh=server, host_key=lacking(text))
    except AuthenticationRefused as exc:
        verdict = _refused(new, exc)
        return _rows(ssh=server, host_key=pinned, login=verdict)
    except HostUnreachable as exc:
        return _rows(ssh=_no_server(exc))
    login = ok(f"{new.user} is let in with {new.identity_file}.")
    return _rows(ssh=server, host_key=pinned, login=login)


def _refused(new: NewHost, problem: TestbedError) -> Verdict:
    path = shlex.quote(new.identity_file)
    try:
        line = public_line(Path(new.identity_file))
    except AuthenticationRefused as exc:
        folder = shlex.quote(str(Path(new.identity_file).parent))
        make = f"install -d -m 700 {folder} && ssh-keygen -t ed25519 -N '' -f {path}"
        return lacking(
            f"{exc.message} It is a private key on main that the worker may read, "
            "without a passphrase.",
            make,
            on_main=True,
        )
    # The account's home, as root there.
    home = f"~{new.user}/.ssh"
    return lacking(
        problem.sentence,
        f"install -d -m 700 -o {new.user} {home} && "
        f"echo {shlex.quote(line)} >> {home}/authorized_keys && "
        f"chown {new.user} {home}/authorized_keys",
    )


def _rows(**found: Verdict) -> dict[str, Verdict]:
    """Return a verdict for each of the three; those that were not reached wait."""
    first = {one.key: one for one in REQUIREMENTS if one.key in CONTACT}
    return {key: found.get(key) or skipped(first[key]) for key in CONTACT}
