"""Runs git against users' repositories: bounded, without a right, in a clean environment.

A worker alone calls this. Each fetch has a folder and accounts of its own, which go with
it (`isolation`). git gets one URL, one branch and one address that `outside` judged, and
checks nothing out: the files are read from its objects by `tree`. The kernel bounds its
memory, processor time and files.
"""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from math import ceil
from pathlib import Path
from typing import IO

from django.conf import settings

from orchestration.errors import TestbedError
from orchestration.terminal import plain
from testbed.outside import Address
from testbed.sources.isolation import (
    Account,
    Accounts,
    confined,
    own_accounts,
    own_folder,
)
from testbed.sources.places import Place, SourceRefused
from testbed.sources.ssh_line import Keys, line_to_server
from testbed.sources.tree import files_of, members_of
from testbed.testbeds.uploads import MAX_BYTES

Clock = Callable[[], float]
PATH = "/usr/bin:/bin"
ACCOUNT = "nobody"
MIB = 1024**2
MEMORY_BYTES = 1024 * MIB
MOST_DETAIL = 800
MOST_AUTHOR, MOST_SUBJECT = 200, 300
HEAD = "refs/heads/fetched"
# Nothing here is the machine's or the user's; the repository decides nothing.
CONFIG = (
    "core.hooksPath=/dev/null",
    "core.symlinks=false",
    "core.fsmonitor=false",
    "core.bigFileThreshold=16m",
    "core.packedGitWindowSize=1m",
    "core.packedGitLimit=64m",
    "credential.helper=",
    "fetch.unpackLimit=1",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.proxy=",
    "http.sslVerify=true",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=20",
    "index.threads=1",
    "log.showSignature=false",
    "maintenance.auto=false",
    "pack.threads=1",
    "protocol.version=2",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
)


class FetchFailed(TestbedError):
    """git could not fetch; `detail` has its last words."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The bounds of a fetch; tests allow `file`, and run git as themselves.

    `limit_s` is for all that git does of it together. `account` is the one under which
    root runs ssh, while git has a number of its own; empty: both are this process's.
    `most_bytes` bounds the pack that is received.
    """

    protocols: frozenset[str] = frozenset({"https", "ssh"})
    account: str = ACCOUNT
    ca_file: str = ""
    limit_s: float = 120.0
    most_bytes: int = 256 * MIB


USUAL = Rules()


@dataclass(frozen=True, slots=True)
class Commit:
    """The newest commit of a branch, and its files' contents by their paths."""

    commit: str
    author: str
    committed_at: datetime
    subject: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Repository:
    """`line` is the command of ssh, which begins before git does; empty without ssh."""

    folder: Path
    accounts: Accounts
    line: Sequence[str]
    environment: Mapping[str, str]
    rules: Rules
    left_s: Clock


def fetch_commit(
    place: Place,
    address: Address | None,
    branch: str,
    folder: str,
    keys: Keys | None = None,
    rules: Rules = USUAL,
    *,
    clock: Clock = time.monotonic,
) -> Commit:
    """Fetch the newest commit of a branch, and read its files in a folder.

    `clock` returns seconds. Raises: FetchFailed, SourceRefused (what it holds cannot be taken).
    """
    end = clock() + rules.limit_s
    with workspace(place, address, keys, rules, lambda: end - clock()) as repository:
        words = ("init", "--quiet", "--bare", "--template=", ".")
        _git(repository, *words)
        _git(
            repository,
            *_pinned(place, address),
            "fetch",
            "--quiet",
            "--depth=1",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
            place.url,
            f"+refs/heads/{branch}:{HEAD}",
            most_bytes=rules.most_bytes,
            line=repository.line,
        )
        return _read(repository, folder)


def _read(repository: Repository, folder: str) -> Commit:
    """Read the fetched commit. Raises: FetchFailed, SourceRefused."""
    form = "--format=%H%x00%an%x00%cI%x00%s"
    shown = _git(repository, "show", "--no-patch", form, HEAD).decode(errors="replace")
    commit, author, committed_at, subject = shown.strip("\n").split("\0")
    tree = f"{HEAD}:{folder}"
    listing = _git(
        repository, "ls-tree", "-r", "-l", "-z", "--full-tree", tree, most_bytes=8 * MIB
    )
    members = members_of(listing)
    wanted = "".join(f"{member.object_id}\n" for member in members)
    batch = _git(
        repository,
        "cat-file",
        "--batch",
        given=wanted.encode(),
        most_bytes=MAX_BYTES + MIB,
    )
    return Commit(
        commit,
        plain(author)[:MOST_AUTHOR],
        _moment(committed_at),
        plain(subject)[:MOST_SUBJECT],
        files_of(members, batch),
    )


def _moment(text: str) -> datetime:
    """Return when a commit was made, in UTC; users' time zones are a day from it.

    The repository chose it. Raises: SourceRefused (no time, or none that can be shown).
    """
    with suppress(ValueError, OverflowError):
        found = datetime.fromisoformat(text).astimezone(UTC)
        if MINYEAR < found.year < MAXYEAR:
            return found
    raise SourceRefused(
        "The newest commit has no time that can be shown.",
        hint="Commit again with a right clock.",
    )


def _pinned(place: Place, address: Address | None) -> list[str]:
    """Return the options by which git asks no resolver for an https address."""
    if place.protocol != "https" or address is None:
        return []
    text = f"[{address}]" if address.version == 6 else str(address)
    return ["-c", f"http.curloptResolve={place.host}:{place.port}:{text}"]


@contextmanager
def workspace(
    place: Place,
    address: Address | None,
    keys: Keys | None,
    rules: Rules,
    left_s: Clock,
) -> Iterator[Repository]:
    """Make a folder and accounts of the fetch's own, with the keys, for a while."""
    locks = settings.RUNTIME_DIR / "git-accounts"
    with own_folder() as folder, own_accounts(rules.account, locks) as accounts:
        folder.chmod(0o711 if accounts.git else 0o700)
        for name in ("repository", "tmp"):
            (folder / name).mkdir(mode=0o700)
            _give(folder / name, accounts.git)
        environment, line = _environment(folder, rules), list[str]()
        if keys is not None and address is not None:
            line = line_to_server(folder, place, address, keys, accounts)
            relay = shlex.join(("sh", str(folder / "relay")))
            environment |= {"GIT_SSH_COMMAND": relay, "GIT_SSH_VARIANT": "ssh"}
        yield Repository(
            folder / "repository", accounts, line, environment, rules, left_s
        )


def _environment(folder: Path, rules: Rules) -> dict[str, str]:
    found = {
        "PATH": PATH,
        "HOME": str(folder / "tmp"),
        "TMPDIR": str(folder / "tmp"),
        "LC_ALL": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "/bin/false",
        "SSH_ASKPASS": "/bin/false",
        "GIT_ALLOW_PROTOCOL": ":".join(sorted(rules.protocols)),
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "MALLOC_ARENA_MAX": "1",
    }
    return found | ({"GIT_SSL_CAINFO": rules.ca_file} if rules.ca_file else {})


def _git(
    repository: Repository,
    *words: str,
    given: bytes = b"",
    most_bytes: int = 16 * MIB,
    line: Sequence[str] = (),
) -> bytes:
    """Run git to its end and return its output. Raises: FetchFailed."""
    options = [word for option in CONFIG for word in ("-c", option)]
    limit_s, left_s = repository.rules.limit_s, repository.left_s()
    if left_s <= 0:
        raise _too_late(limit_s)
    limits = (
        f"--as={MEMORY_BYTES}",
        f"--cpu={ceil(limit_s)}",
        f"--fsize={most_bytes}",
        "--core=0",
    )
    accounts, environment = repository.accounts, dict(repository.environment)
    with ExitStack() as stack:
        said, out = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
        if line:
            by_ssh = [*confined(accounts.ssh, limits), *line]
            wire = environment | {"GIT_PROTOCOL": "version=2"}
            stack.enter_context(_running(by_ssh, repository, wire, said=said))
        process = stack.enter_context(
            _running(
                [*confined(accounts.git, limits), "git", *options, *words],
                repository,
                environment,
                said=said,
                out=out,
                given=subprocess.PIPE,
            )
        )
        try:
            process.communicate(given, timeout=left_s)
        except subprocess.TimeoutExpired:
            raise _too_late(limit_s) from None
        status = process.returncode
        out.seek(0)
        said.seek(0, os.SEEK_END)
        said.seek(max(0, said.tell() - MOST_DETAIL))
        if status != 0:
            raise _failure(status, said.read().decode(errors="replace"), most_bytes)
        return out.read()


@contextmanager
def _running(
    words: Sequence[str],
    repository: Repository,
    environment: Mapping[str, str],
    *,
    said: IO[bytes],
    out: "IO[bytes] | int" = subprocess.DEVNULL,
    given: int = subprocess.DEVNULL,
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a program for a while; end all that it started, as far as it is its group."""
    process = subprocess.Popen(
        words,
        cwd=repository.folder,
        env=environment,
        start_new_session=True,
        stdin=given,
        stdout=out,
        stderr=said,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _too_late(limit_s: float) -> FetchFailed:
    return FetchFailed(
        f"The repository was not fetched within {limit_s:.0f} s.",
        hint="Try again, or make it smaller.",
    )


def _give(folder: Path, account: Account | None) -> None:
    """Give a folder to an account."""
    if account is not None:
        os.chown(folder, account.uid, account.gid)


# What git and ssh say, and what that means; the first that is found counts.
_MEANINGS: Sequence[tuple[str, str, str]] = (
    (
        "couldn't find remote ref",
        "The repository has no such branch.",
        "Push it, or correct the branch.",
    ),
    (
        "Host key verification failed",
        "The forge answered with another host key than the confirmed one.",
        "If its operator has a new one: forget the old key, fetch, confirm the new key.",
    ),
    (
        "Permission denied",
        "The forge does not know the deploy key.",
        "Add the public key of this page to the repository's deploy keys.",
    ),
    (
        "could not read Username",
        "The repository does not exist, or is not public.",
        "Use its address for ssh, with a deploy key.",
    ),
    (
        "invalid index-pack output",
        "The newest commit of the repository is too large, or cannot be read.",
        "A commit with all its files may have 256 MiB, packed.",
    ),
    (
        "Not a valid object name",
        "The repository has no such folder.",
        "Correct the folder.",
    ),
    (
        "not a tree object",
        "The folder is a file in the repository.",
        "Correct the folder.",
    ),
    (
        "The requested URL returned error: 30",
        "The address leads to another one.",
        "Use the address to which it leads.",
    ),
    *(
        (
            words,
            "The forge does not answer at this port.",
            "Correct the port, or fetch again when the forge is up.",
        )
        for words in ("Connection refused", "Failed to connect")
    ),
    (
        "timed out",
        "The forge did not answer in time.",
        "Fetch again when the forge is up.",
    ),
    (
        "Could not read from remote repository",
        "The forge has no such repository, or does not let the deploy key read it.",
        "Correct the path, or add the public key of this page to its deploy keys.",
    ),
    (
        "Out of memory",
        f"git needs more than {MEMORY_BYTES // MIB} MiB of memory for this repository.",
        "Use a repository that holds fewer branches and smaller files.",
    ),
)
# Lines that the server alone chose: they do not tell what happened here.
_OF_SERVER = ("remote: ", "fatal: remote error: ")


def _failure(status: int, said: str, most_bytes: int) -> TestbedError:
    lines = [plain(line) for line in said.strip().splitlines()]
    detail = "\n".join(lines)
    own = "\n".join(line for line in lines if not line.startswith(_OF_SERVER))
    for words, message, hint in _MEANINGS:
        if words in own:
            return FetchFailed(message, hint=hint, detail=detail)
    if status == -signal.SIGXFSZ:
        return SourceRefused(
            f"The repository needs more than {most_bytes // MIB} MiB here.",
            hint="Choose a folder of it that holds the testbed alone.",
        )
    last = detail.splitlines()[-1:] or [f"git ended with the status {status}"]
    return FetchFailed(f"git failed: {last[0]}", detail=detail)
