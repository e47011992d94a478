"""Sends what was decided, file by file, each only in place of the copy that was seen.

Large files are sent by `parts.py`, and taken piece by piece.
"""

import os
from collections.abc import Callable
from hashlib import file_digest
from pathlib import Path
from urllib.parse import quote

from orchestration.compose.files import resolve_inside, stored_form
from orchestration.errors import TestbedError
from orchestration.files import give_to_owner_of, part_path
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import StaleCopy
from testbed.client.rest.server import Server
from testbed.client.sync.decide import Conflict, Decision, Sending
from testbed.client.sync.parts import PART_BYTES, LargeFile, OnPart

OnFile = Callable[[str, str], None]


def apply(
    server: Server,
    testbed: str,
    folder: Path,
    decision: Decision,
    base: dict[str, str],
    on_file: OnFile,
    on_part: OnPart = lambda path, arrived, size: None,
) -> tuple[Conflict, ...]:
    """Send and remove files, and note in `base` what both sides have then.

    Return what was edited on the server meanwhile: it was not overwritten. Raises:
    ServerProblem, ServerUnreachable, OSError, TestbedError (a file is changed while it
    is sent).
    """
    late = []
    base.update(decision.same)
    for path in decision.gone:
        del base[path]
    for path in decision.remove:  # first: the user may be asked
        server.delete(_address(testbed, path))
        base.pop(path, None)
        on_file("removed", path)
    for one in decision.send:
        try:
            base[one.path] = _sent(server, testbed, folder, one, on_part)
            on_file("sent", one.path)
        except StaleCopy:
            late.append(Conflict(one.path, "edited on the server meanwhile"))
    return tuple(late)


def take(
    server: Server, testbed: str, folder: Path, path: str, base: dict[str, str]
) -> None:
    """Replace the folder's copy of a file by the server's. Raises: as `apply`.

    PathOutside: the path leads out of the folder. TestbedError: it cannot be written.
    """
    target = resolve_inside(folder, path)
    part = Path(part_path(str(target.absolute())))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            tag = _taken(server, testbed, path, part)
            part.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            give_to_owner_of(target.parent, part)
            part.replace(target)
            base[path] = tag
        finally:
            part.unlink(missing_ok=True)
    except OSError as exc:
        raise TestbedError(
            f"{path} was not written: {exc.strerror or exc}.",
            hint="The folder's copy is as it was, and the server's, too.",
        ) from exc


def _sent(
    server: Server, testbed: str, folder: Path, one: Sending, on_part: OnPart
) -> str:
    """Send one file; return its tag. Raises: as `apply`; StaleCopy."""
    file = stored_form(folder / one.path)
    if file.stat().st_size > PART_BYTES:
        return LargeFile(server, testbed, file, one, on_part).send()
    return server.save(_address(testbed, one.path), file.read_bytes(), seen=one.seen)


def _taken(server: Server, testbed: str, path: str, part: Path) -> str:
    """Write a file of the server into a new one; return its tag. Raises: as `take`."""
    # Never readable by more users than the final file.
    with os.fdopen(
        os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb+"
    ) as to:
        tag = server.download(_address(testbed, path), to)
        to.seek(0)
        if file_digest(to, "sha256").hexdigest() != tag:
            raise TestbedError(
                f"{path} did not arrive as it is on the server.",
                hint="The folder's copy is as it was. Do it again.",
            )
    return tag


def _address(testbed: str, path: str) -> str:
    return path_of(testbed, f"files/{quote(path)}")
