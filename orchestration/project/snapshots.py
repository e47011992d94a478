"""libvirt's records of guests' snapshots while their domains are not defined.

`down` removes a domain's definition, and with it libvirt's records; the snapshots
themselves stay in the disk. The next definition gets the records back from here, and
quotas go on to count their sizes. One JSON file a guest, on main, removed with the
guest's disk.
"""

import logging
import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ValidationError

from orchestration.files import give_to_owner_of, write_whole
from orchestration.project.folder import Project

logger = logging.getLogger(__name__)


class KeptRecord(BaseModel, frozen=True):
    """A guest's records, parents first, and the name of the current snapshot.

    `memory_bytes` has what each stores, by name, and `disk_bytes` what the disk took
    with them; both are empty where nobody read them.
    """

    texts: tuple[str, ...] = ()
    current: str = ""
    memory_bytes: dict[str, int] = {}
    disk_bytes: int = 0


def keep(project: Project, guest: str, record: KeptRecord) -> None:
    """Keep a guest's records; those kept before are replaced."""
    if not record.texts:
        drop(project, guest)
        return
    folder = project.snapshots
    folder.mkdir(exist_ok=True, mode=0o700)
    give_to_owner_of(project.directory, folder)
    write_whole(_file(project, guest), record.model_dump_json(), durable=True)


def kept(project: Project, guest: str) -> KeptRecord:
    """Return a guest's kept records."""
    return _read(_file(project, guest))


def kept_sizes(project: Project) -> dict[str, tuple[int, int]]:
    """Return the bytes of memory and disk of each guest with kept records."""
    found = {}
    # Most testbeds have no such folder, and a page of the lab asks for all of them.
    with suppress(FileNotFoundError), os.scandir(project.snapshots) as entries:
        for entry in entries:
            name, _, ending = entry.name.rpartition(".")
            if not name or ending != "json":
                continue
            with suppress(FileNotFoundError):  # its guest came up
                seen = entry.stat()
                stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
                found[name] = _sizes(Path(entry.path), stamp)
    return found


def drop(project: Project, guest: str) -> None:
    """Drop a guest's kept records."""
    _file(project, guest).unlink(missing_ok=True)


# A record has the texts of all domains of then: each is read once.
@lru_cache(maxsize=4096)
def _sizes(file: Path, stamp: tuple[int, ...]) -> tuple[int, int]:
    record = _read(file)
    return sum(record.memory_bytes.values()), record.disk_bytes


def _read(file: Path) -> KeptRecord:
    try:
        return KeptRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return KeptRecord()
    except (ValidationError, OSError) as exc:
        logger.warning("%s: %s", file, exc)
        return KeptRecord()


def _file(project: Project, guest: str) -> Path:
    return project.snapshots / f"{guest}.json"
