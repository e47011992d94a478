"""Group snapshots of a testbed: what is known of each, and the one that is in work.

libvirt has the snapshots themselves, and says in their labels which belong together.
One JSON file a group, on main, has the YAML of then and what was measured. The journal
names the guests that a worker has paused, and the group that is not whole yet. A journal
whose lock is free is that of a lost worker: the reader finishes what it left.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from orchestration.files import give_to_owner_of, write_whole
from orchestration.locks import held_if_free
from orchestration.project.folder import Project

logger = logging.getLogger(__name__)


class Standstill(BaseModel, frozen=True):
    """How long a guest stood still, at most; `after_s` counts from the first's stop.

    A guest that did not run stood still anyway: its seconds are 0. `held_systems` counts
    the file systems that its agent held meanwhile.
    """

    guest: str
    host: str
    seconds: float = 0.0
    after_s: float = 0.0
    held_systems: int = 0


class GroupRecord(BaseModel, frozen=True):
    """The facts about a group snapshot that its snapshots do not hold."""

    name: str
    compose: str = ""
    skew_s: float = 0.0
    guests: tuple[Standstill, ...] = ()

    @property
    def longest_s(self) -> float:
        """The longest standstill of a guest."""
        return max((one.seconds for one in self.guests), default=0.0)


class Journal(BaseModel, frozen=True):
    """The act that is in work: the group to remove again, and the guests to resume.

    `unfinished` is empty for a restore, which removes nothing. `agents` are the guests
    whose file systems may be held.
    """

    unfinished: str = ""
    guests: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()


def compose_of(project: Project) -> str:
    """Return the present YAML; empty when there is none."""
    try:
        return project.yaml.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def record(project: Project, name: str) -> GroupRecord:
    """Return what is known of a group; little of one whose file is gone."""
    try:
        return GroupRecord.model_validate_json(_file(project, name).read_bytes())
    except FileNotFoundError:
        return GroupRecord(name=name)
    except (ValidationError, OSError) as exc:
        logger.warning("%s: %s", _file(project, name), exc)
        return GroupRecord(name=name)


def write_record(project: Project, found: GroupRecord) -> None:
    """Write what is known of a group."""
    _write(project, _file(project, found.name), found)


def drop_record(project: Project, name: str) -> None:
    """Forget a group."""
    _file(project, name).unlink(missing_ok=True)


@contextmanager
def in_work(project: Project, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock of the journal, if it is free; yields whether it is held."""
    with held_if_free(project.directory / ".groups.lock", wait_s=wait_s) as is_held:
        yield is_held


def journal(project: Project) -> Journal | None:
    """Return the act that is, or was, in work; None when nothing is left of any."""
    try:
        return Journal.model_validate_json(_journal(project).read_bytes())
    except FileNotFoundError:
        return None
    except (ValidationError, OSError) as exc:
        logger.warning("%s: %s", _journal(project), exc)
        return None


def write_journal(project: Project, found: Journal) -> None:
    """Write what is begun, before it is begun."""
    _write(project, _journal(project), found)


def clear_journal(project: Project) -> None:
    """Note that nothing is left to finish."""
    _journal(project).unlink(missing_ok=True)


def _write(project: Project, path: Path, found: BaseModel) -> None:
    _folder(project)
    write_whole(path, found.model_dump_json(), durable=True)


def _folder(project: Project) -> None:
    for folder in (project.snapshots, project.snapshots / "groups"):
        folder.mkdir(exist_ok=True, mode=0o700)
        give_to_owner_of(project.directory, folder)


def _file(project: Project, name: str) -> Path:
    return project.snapshots / "groups" / f"{name}.json"


def _journal(project: Project) -> Path:
    return project.snapshots / "groups" / ".journal"
