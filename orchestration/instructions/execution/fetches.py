"""The instruction of `exec` that fetches a file or folder from one guest.

The guest is not trusted: what it sends is unpacked within the testbed's quota into a
folder of its own, and is there complete and verified, or not at all.
"""

import errno
from contextlib import closing
from functools import partial
from hashlib import sha256
from pathlib import Path

from orchestration.amounts import count_of
from orchestration.errors import (
    ArchiveRefused,
    CommandTimedOut,
    NotEnoughSpace,
    StateError,
    TestbedError,
)
from orchestration.events import Status, Stream
from orchestration.instructions.execution.programs import (
    UNLIMITED_S,
    copied,
    execution_of,
    in_guest,
    limited,
    raising_late,
)
from orchestration.instructions.task import Outcome, Task, done
from orchestration.project.fetched import Arrival
from orchestration.providers.guest.copies.sending import (
    announced_bytes,
    folder_name,
    is_changed,
    require_sent,
    send_command,
)
from orchestration.providers.guest.copies.unpacking import Unpacker
from orchestration.transport.base import Completed, Scope, Transport

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)


def fetch_files(task: Task) -> Outcome:
    """Copy the execution's file or folder from one guest to main.

    Raises: GuestUnreachable, CommandFailed, ArchiveRefused, NotEnoughSpace.
    """
    if task.fetched is None:
        raise StateError("There is no folder for the guests' files.")
    return in_guest(task, partial(_fetch, task, task.fetched, limited(task)))


def _fetch(task: Task, run_folder: Path, scope: Scope, transport: Transport) -> Outcome:
    wanted, guest = execution_of(task), task.resource.key
    arrival = Arrival(run_folder, guest, task.quota)
    try:
        with raising_late(task), arrival.opened() as folder:
            return _unpack(task, transport, arrival, folder, scope)
    except CommandTimedOut as exc:
        raise CommandTimedOut(
            f"{wanted.path} of guest {guest} did not arrive within "
            f"{wanted.conditions.timeout_s} s; nothing was kept.",
            exit_code=exc.exit_code,
            hint="Give it more time, or fetch less.",
        ) from exc
    except ArchiveRefused as exc:
        raise ArchiveRefused(
            f"Guest {guest} sent an archive that is not taken, with {exc.message}; "
            "nothing was kept.",
            hint="Fetch less, or look at what tar is in the guest.",
        ) from exc
    except OSError as exc:
        raise not_written(exc, guest) from exc


def _unpack(
    task: Task, transport: Transport, arrival: Arrival, folder: Path, scope: Scope
) -> Outcome:
    path = execution_of(task).path
    unpacker = Unpacker(
        folder,
        name=folder_name(path),
        spend=arrival.spend,
        most_entries=task.quota.entries,
    )
    with closing(unpacker):
        receiving = _Receiving(task, unpacker)
        ended = receiving.run(transport, scope)
        require_sent(ended, receiving.digest, path, task.resource.key)
        unpacker.finish()
    return _outcome(unpacker, ended)


class _Receiving:
    """The bytes of one stream on their way to the disk."""

    def __init__(self, task: Task, unpacker: Unpacker) -> None:
        self._task = task
        self._unpacker = unpacker
        self._digest = sha256()
        self._report = task.on_progress("fetch")
        self._total = 0

    @property
    def digest(self) -> str:
        """The digest of all bytes."""
        return self._digest.hexdigest()

    def run(self, transport: Transport, scope: Scope) -> Completed:
        """Run the guest's program and take what it sends."""
        wanted = execution_of(self._task)
        return transport.run(
            send_command(wanted.path, wanted.conditions),
            scope=scope,
            timeout_s=UNLIMITED_S,
            check=False,
            on_line=self._on_line,
            on_bytes=self._on_bytes,
        )

    def _on_line(self, stream: Stream, text: str) -> None:
        if stream is Stream.STDERR and not self._total:
            self._total = announced_bytes(text) or 0

    def _on_bytes(self, data: bytes) -> None:
        self._digest.update(data)
        self._unpacker.feed(data)
        here = self._unpacker.size_bytes
        # The guest's estimate is no promise.
        self._report(here, self._total if here <= self._total else 0)


def _outcome(unpacker: Unpacker, ended: Completed) -> Outcome:
    message = copied(unpacker.files, unpacker.size_bytes)
    remarks = []
    if unpacker.left_out:
        kinds = (count_of(number, kind) for kind, number in unpacker.left_out.items())
        remarks.append(f"left out: {', '.join(kinds)}")
    if is_changed(ended):
        remarks.append("files changed while they were read")
    if remarks:
        return Outcome(Status.WARNING, f"{message}; {'; '.join(remarks)}")
    return done(message)


def not_written(error: OSError, guest: str) -> TestbedError:
    """Return the error that what a guest sent cannot be kept on main."""
    if error.errno in _FULL:
        return NotEnoughSpace(
            f"The disk of the main host is full; nothing of guest {guest} was kept.",
            hint="Delete fetched files of earlier runs, or ask a lab admin.",
        )
    if error.errno in _REFUSED:
        return ArchiveRefused(
            f"Guest {guest} sent an archive whose names do not fit together; nothing "
            "was kept.",
            detail=str(error),
        )
    return StateError(
        f"What guest {guest} sent could not be written.", detail=str(error)
    )
