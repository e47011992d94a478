"""libvirt's records of guests' snapshots while their domains are not defined.

`down` removes a domain's definition, and with it libvirt's records; the snapshots
themselves stay in the disk. The next definition gets the records back from here. One
JSON file a guest, on main, removed with the guest's disk.
"""

import json
import logging
from pathlib import Path

from orchestration.files import give_to_owner_of, write_whole
from orchestration.project.folder import Project

logger = logging.getLogger(__name__)


def keep(project: Project, guest: str, texts: tuple[str, ...], current: str) -> None:
    """Keep a guest's records; those kept before are replaced."""
    if not texts:
        drop(project, guest)
        return
    folder = project.snapshots
    folder.mkdir(exist_ok=True, mode=0o700)
    give_to_owner_of(project.directory, folder)
    record = {"current": current, "texts": texts}
    write_whole(_file(project, guest), json.dumps(record), durable=True)


def kept(project: Project, guest: str) -> tuple[tuple[str, ...], str]:
    """Return a guest's kept records, parents first, and the name of the current one."""
    try:
        record = json.loads(_file(project, guest).read_bytes())
        return tuple(map(str, record["texts"])), str(record["current"])
    except FileNotFoundError:
        return (), ""
    except (ValueError, KeyError, TypeError) as exc:
        logger.warning("%s: %s", _file(project, guest), exc)
        return (), ""


def drop(project: Project, guest: str) -> None:
    """Drop a guest's kept records."""
    _file(project, guest).unlink(missing_ok=True)


def _file(project: Project, guest: str) -> Path:
    return project.snapshots / f"{guest}.json"
