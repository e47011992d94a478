"""Gives each fetch accounts of its own, so that it reaches neither another nor the lab.

git, which reads what a hostile repository sends, runs under a number that no other fetch
has and no account: `FIRST` and the `COUNT` above it are kept for that (docs/security.md).
ssh refuses to run under a number without an account. It is the account `nobody` with a
group of the fetch's own, alone can read the deploy key, and talks to git through two
pipes. Neither has a right, or can get one. A process that is not root has one account.
"""

import os
import pwd
import random
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import TestbedError
from orchestration.locks import lock, take

# Numbers that neither distributions nor systemd give to anything (UIDS-GIDS of systemd).
FIRST = 0x70000000
COUNT = 2048
FOLDER = "testbed-fetch-"
NUMBERS = range(FIRST, FIRST + COUNT, 2)  # of git; the next one is ssh's group
MOST_PROCESSES = 64
MOST_FILES = 256
END_LIMIT_S = 10
_NO_RIGHT = ("--clear-groups", "--bounding-set=-all", "--inh-caps=-all")


@dataclass(frozen=True, slots=True)
class Account:
    """The numbers of one program of a fetch; `is_own`: no other program has this one."""

    uid: int
    gid: int
    is_own: bool = True


@dataclass(frozen=True, slots=True)
class Accounts:
    """The account of git and that of ssh; None: this process's own, which is not root."""

    git: Account | None = None
    ssh: Account | None = None


@contextmanager
def own_folder() -> Iterator[Path]:
    """Make a folder for one fetch, and remove it; first those of workers that were killed.

    These hold deploy keys, and files for which later fetches have the numbers. A folder
    gets its name when it is locked, so that one without a lock was left.
    """
    _remove_left()
    made = Path(tempfile.mkdtemp(prefix="testbed-new-"))
    descriptor = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
    try:
        lock(descriptor)
        folder = made.rename(made.with_name(FOLDER + made.name.rpartition("-")[2]))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_left() -> None:
    """Remove the folders of fetches whose worker lives no more."""
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):  # it went meanwhile, or is none of ours
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                is_ours = os.fstat(descriptor).st_uid == os.geteuid()
                if is_ours and lock(descriptor, wait=False):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


@contextmanager
def own_accounts(
    name: str, locks: Path, numbers: Sequence[int] = NUMBERS
) -> Iterator[Accounts]:
    """Keep accounts for one fetch, and end what is left of it.

    `name` is the account of ssh; without it, or without root, there are none. `locks` is
    a folder of root's, which all workers share. Raises: TestbedError (all are in use).
    """
    if os.geteuid() != 0 or not name:
        yield Accounts()
        return
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    # By chance: a number is seldom one that was used lately.
    for number in random.sample(numbers, len(numbers)):  # nosec B311
        path = locks / str(number)
        if (mine := take(path)) is not None:
            break
    else:
        raise TestbedError("Too many fetches run at once.", hint="Fetch again later.")
    with mine:
        try:
            end_processes(number)  # of a worker that was killed
            ssh = Account(pwd.getpwnam(name).pw_uid, number + 1, is_own=False)
            yield Accounts(Account(number, number), ssh)
        finally:
            end_processes(number)
            path.unlink()


def end_processes(uid: int) -> None:
    """End each process of an account, also one that left its group and session."""
    # Under the limit of processes it would not begin beside as many as there may be.
    account = Account(uid, uid, is_own=False)
    words = [*confined(account), "sh", "-c", "kill -KILL -1"]
    # It fails where there is none.
    subprocess.run(words, check=False, timeout=END_LIMIT_S, stderr=subprocess.DEVNULL)


def confined(account: Account | None, limits: Sequence[str] = ()) -> list[str]:
    """Return the words before a program's own that take its rights, and set limits."""
    rights = ["--no-new-privs"]
    limits = [*limits, f"--nofile={MOST_FILES}"]
    if account is not None:
        rights += [f"--reuid={account.uid}", f"--regid={account.gid}", *_NO_RIGHT]
        # The processes of an account are counted together.
        limits += [f"--nproc={MOST_PROCESSES}"] if account.is_own else []
    return ["/usr/bin/prlimit", *limits, "/usr/bin/setpriv", *rights]
