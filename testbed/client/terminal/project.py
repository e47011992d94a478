"""The folder of a testbed on this machine, and the testbed on the server.

`.testbed/testbed.json` in the folder has the server, the testbed, and the tags of the
files as both sides had them last: what differs from it was edited since.
"""

import json
from dataclasses import dataclass, field
from errno import ELOOP
from pathlib import Path

from orchestration.compose.names import suggest_name
from orchestration.errors import TestbedError
from orchestration.files import write_whole
from testbed.client.rest.problems import OTHER_SHAPE
from testbed.client.sync.digests import NotRegular, opened
from testbed.client.terminal.exits import Refusal

FOLDER = ".testbed"
FILE = "testbed.json"
# A file that is none, no JSON, or of another shape.
_BROKEN = (NotRegular, *OTHER_SHAPE)


@dataclass(slots=True)
class Link:
    """Which testbed a folder belongs to; `files` are tags by path."""

    server: str = ""
    testbed: str = ""
    files: dict[str, str] = field(default_factory=dict)


def read_link(folder: Path) -> Link:
    """Return a folder's link; an empty one where it has none. Raises: TestbedError."""
    file = _own(folder) / FILE
    try:
        with opened(file) as text:
            found = json.loads(text.read())
        files = {str(path): str(tag) for path, tag in found["files"].items()}
        return Link(str(found["server"]), str(found["testbed"]), files)
    except FileNotFoundError:
        return Link()
    except NotADirectoryError as exc:
        raise Refusal(
            f"{file.parent} is no folder.",
            hint="Delete it: the client makes one of its own.",
        ) from exc
    except (OSError, *_BROKEN) as exc:
        if isinstance(exc, OSError) and exc.errno != ELOOP:
            raise TestbedError(
                f"{file} cannot be read: {exc.strerror or exc}.",
                hint="Let it be read by your account.",
            ) from exc
        raise TestbedError(
            f"{file} cannot be read.",
            hint="Delete it: the files are then compared with the server's anew.",
        ) from exc


def write_link(folder: Path, link: Link) -> None:
    """Keep a folder's link. Raises: OSError, Refusal."""
    own = _own(folder)
    own.mkdir(exist_ok=True)
    shape = {"server": link.server, "testbed": link.testbed, "files": link.files}
    write_whole(own / FILE, json.dumps(shape, indent=1) + "\n", mode=0o644)


def _own(folder: Path) -> Path:
    """Return the client's own folder in a testbed's. Raises: Refusal (it is a link)."""
    own = folder / FOLDER
    if own.is_symlink():
        raise Refusal(
            f"{own} is a link.", hint="Delete it: the client makes a folder of its own."
        )
    return own


def name_of(folder: Path) -> str:
    """Return the name that a testbed of this folder gets."""
    return suggest_name(folder.name) or "testbed"


def follow_rename(folder: Path, server: str, former: str, present: str) -> None:
    """Note the present name in a folder that belongs to a testbed. Raises: OSError."""
    link = read_link(folder)
    if (link.server, link.testbed) == (server, former):
        link.testbed = present
        write_link(folder, link)


def require_same(link: Link, server: str, testbed: str) -> None:
    """Refuse to send a folder to another testbed than its own. Raises: Refusal."""
    if link.testbed and (link.server, link.testbed) != (server, testbed):
        raise Refusal(
            f"This folder belongs to {link.testbed} at {link.server}.",
            hint=f"Use a folder of its own for {testbed}, or delete {FOLDER}/ here: the "
            "files are then compared with the server's anew.",
        )
