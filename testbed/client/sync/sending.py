"""Sends what was decided, file by file, each only in place of the copy that was seen."""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from orchestration.compose.files import resolve_inside, stored_form
from orchestration.errors import TestbedError
from orchestration.files import write_whole
from testbed.client.rest.addresses import path_of
from testbed.client.rest.problems import StaleCopy
from testbed.client.rest.server import Server
from testbed.client.sync.decide import Conflict, Decision

OnFile = Callable[[str, str], None]


def apply(
    server: Server,
    testbed: str,
    folder: Path,
    decision: Decision,
    base: dict[str, str],
    on_file: OnFile,
) -> tuple[Conflict, ...]:
    """Send and remove files, and note in `base` what both sides have then.

    Return what was edited on the server meanwhile: it was not overwritten. Raises:
    ServerProblem, ServerUnreachable, OSError.
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
        data = stored_form(folder / one.path).read_bytes()
        try:
            address = _address(testbed, one.path)
            base[one.path] = server.save(address, data, seen=one.seen)
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
    content = server.content(_address(testbed, path))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        write_whole(target, content.data, mode=mode)
    except OSError as exc:
        raise TestbedError(
            f"{path} was not written: {exc.strerror or exc}.",
            hint="The folder's copy is as it was, and the server's, too.",
        ) from exc
    base[path] = content.tag


def _address(testbed: str, path: str) -> str:
    return path_of(testbed, f"files/{quote(path)}")
