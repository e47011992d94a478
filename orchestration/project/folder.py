"""A testbed's folder on the main host: the user's files, the state, the artefacts.

    <directory>/files/       the user's files: kvm-compose.yaml, scripts, context
    <directory>/artefacts/   the files generated from them
    <directory>/keys/        the key pair that logs in to the guests, and a deploy key
    <directory>/state.json   the state of the YAML
    <directory>/deployed.json  what may exist besides, until a change is applied
    <directory>/answers/     what programs printed in guests, a folder for each run
    <directory>/fetched/     what guests sent, a folder for each run and guest
    <directory>/snapshots/   libvirt's records of snapshots while guests are down
    <directory>/markers.log  the events of each guest since, one JSON a line

The only writer of these. Both states are always whole. Many workers write markers at
once, so each is one appended line; reading folds them into the state (rewriting a
1,000-guest state for each marker took 30 ms, appending takes 0.1 ms).
"""

import json
import logging
import os
import shutil
from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from orchestration.compose.files import resolve_inside
from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.errors import StateError
from orchestration.files import (
    PASSABLE,
    give_to_owner_of,
    make_passable,
    write_whole,
)
from orchestration.locks import held
from orchestration.state.diff.deployed import union
from orchestration.state.model import GuestState, Markers, State
from orchestration.state.versions import load_state

YAML_NAME = "kvm-compose.yaml"
_STATE, _MARKERS_LOG, _DEPLOYED = _STATES = (
    "state.json",
    "markers.log",
    "deployed.json",
)
Stamp = tuple[int, ...]
# pydantic's property takes longer than the rest of a marker.
_MARKERS = frozenset(Markers.model_fields)
logger = logging.getLogger(__name__)


def read_yaml(path: Path) -> bytes:
    """Read at most one byte more of a YAML than may be parsed; empty without a file."""
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError):
        return b""


class Project:
    """One testbed's folder; cheap to make, holds no open files.

    A page of the lab makes one for each testbed: their paths are made where they are used.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def files(self) -> Path:
        """The folder of the user's files."""
        return self.directory / "files"

    @property
    def artefacts(self) -> Path:
        """The folder of the artefacts."""
        return self.directory / "artefacts"

    @property
    def keys(self) -> Path:
        """The folder of the keys."""
        return self.directory / "keys"

    @property
    def snapshots(self) -> Path:
        """The folder of the records of snapshots."""
        return self.directory / "snapshots"

    @property
    def state_file(self) -> Path:
        """The state of the YAML."""
        return self.directory / _STATE

    @property
    def markers_file(self) -> Path:
        """The events of guests since."""
        return self.directory / _MARKERS_LOG

    @property
    def deployed_file(self) -> Path:
        """The state of what may exist besides."""
        return self.directory / _DEPLOYED

    @property
    def _lock_file(self) -> Path:
        return self.directory / ".state.lock"

    @property
    def yaml(self) -> Path:
        """The user's kvm-compose.yaml."""
        return self.files / YAML_NAME

    def read_yaml(self) -> bytes:
        """Read the YAML as `read_yaml` does."""
        return read_yaml(self.yaml)

    @property
    def identity_file(self) -> Path:
        """The private key that logs in to this testbed's guests."""
        return self.keys / "id_ed25519"

    def answers(self, run: int) -> Path:
        """Return the folder of the answers that guests gave in a run."""
        return self.directory / "answers" / str(run)

    @property
    def fetched_of_all(self) -> Path:
        """The folder of the files that all runs fetched from guests."""
        return self.directory / "fetched"

    def fetched(self, run: int) -> Path:
        """Return the folder of the files that a run fetched from guests."""
        return self.fetched_of_all / str(run)

    def create(self) -> None:
        """Make the folders; QEMU's user may pass to the artefacts, and nowhere else."""
        for folder in (self.directory, self.artefacts):
            make_passable(folder)
        for folder in (self.files, self.keys):
            folder.mkdir(exist_ok=True, mode=0o700)

    def file(self, path: str) -> Path:
        """Return the path of a user's file, symlinks resolved.

        Raises: PathOutside.
        """
        return resolve_inside(self.files, path)

    def has_state(self) -> bool:
        """Return whether a state was generated."""
        return self.state_file.is_file()

    def read_state(self) -> State:
        """Read state.json. Raises: StateError (missing, broken, too new)."""
        stamp = _stamp(self.state_file)
        if not stamp:
            raise StateError(
                "This testbed has no state yet.", hint="Generate the artefacts first."
            )
        marks = _stamp(self.markers_file)
        return _read_marked(self.state_file, stamp, self.markers_file, marks)

    def write_state(self, state: State) -> None:
        """Replace state.json atomically."""
        with held(self._lock_file):
            self._replace(state)

    def has_unfinished_change(self) -> bool:
        """Return whether more may exist than the state in state.json."""
        return self.deployed_file.is_file()

    def read_known(self) -> State:
        """Read everything that may exist: the union of both states."""
        state, stamp = self.read_state(), _stamp(self.deployed_file)
        return union(_read(self.deployed_file, stamp), state) if stamp else state

    def read_all(self) -> tuple[State, ...]:
        """Read the states separately: wanted, then what may exist besides."""
        if not self.has_state():
            return ()
        state, stamp = self.read_state(), _stamp(self.deployed_file)
        return (state, _read(self.deployed_file, stamp)) if stamp else (state,)

    def stamps(self) -> tuple[Stamp, ...]:
        """Return stamps that change when a file of `read_all` is written."""
        folder = str(self.directory)
        return tuple(_stamp(f"{folder}/{name}") for name in _STATES)

    def write_change(self, deployed: State, wanted: State) -> None:
        """Write `deployed` to deployed.json, then replace state.json by `wanted`."""
        with held(self._lock_file):
            self._replace_file(self.deployed_file, deployed)
            self._replace(wanted)

    def forget_deployed(self) -> None:
        """Remove deployed.json after its objects are gone."""
        with held(self._lock_file):
            self.deployed_file.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove state and artefacts; the user's files and keys stay."""
        with held(self._lock_file):
            self.state_file.unlink(missing_ok=True)
            self.deployed_file.unlink(missing_ok=True)
            self.markers_file.unlink(missing_ok=True)
            shutil.rmtree(self.snapshots, ignore_errors=True)
            if self.artefacts.exists():
                shutil.rmtree(self.artefacts)
            self.artefacts.mkdir()
            self.artefacts.chmod(PASSABLE)
            give_to_owner_of(self.directory, self.artefacts)

    def mark(self, guest: str, **changes: str | int | None) -> None:
        """Append markers of one guest after the event.

        A line end comes first, too: a line that a crash left half written stays
        separate. Raises: StateError when the disk is full.
        """
        line = f"\n{json.dumps({'guest': guest, **changes})}\n".encode()
        handle = os.open(
            self.markers_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        try:
            give_to_owner_of(self.directory, handle)
            if os.write(handle, line) != len(line):
                raise OSError("only a part was written")
            os.fsync(handle)
        except OSError as exc:
            raise StateError(
                f"The progress of guest {guest} could not be written.",
                hint=f"Free space on the disk of {self.directory} and start again.",
                detail=str(exc),
            ) from exc
        finally:
            os.close(handle)

    def yaml_sha256(self) -> str:
        """Digest the current YAML, as it is read; empty when there is none."""
        return sha256(self.read_yaml()).hexdigest() if self.yaml.exists() else ""

    def _replace(self, state: State) -> None:
        self._replace_file(self.state_file, state)
        self.markers_file.unlink(missing_ok=True)

    @staticmethod
    def _replace_file(path: Path, state: State) -> None:
        write_whole(path, state.model_dump_json(indent=1) + "\n", durable=True)


# A worker reads the same state for each of its batches; parsing one of 1,000 guests
# takes 60 ms. States are immutable, so all batches may share one.
@lru_cache(maxsize=4)
def _read_marked(path: Path, stamp: Stamp, markers: Path, marks: Stamp) -> State:
    state = _read(path, stamp)
    changes: dict[str, dict[str, str | int | None]] = {}
    for line in _marker_lines(markers) if marks else ():
        guest = str(line.pop("guest"))
        changes.setdefault(guest, {}).update(line)
    if not changes:
        return state
    guests = tuple(_marked(guest, changes.get(guest.name)) for guest in state.guests)
    return state.model_copy(update={"guests": guests})


@lru_cache(maxsize=4)
def _read(path: Path, stamp: Stamp) -> State:
    """Parse a state file; `stamp` identifies the file's version."""
    try:
        return load_state(path.read_bytes())
    except (ValueError, FileNotFoundError) as exc:
        raise StateError(
            f"The file {path.name} of this testbed cannot be read.",
            hint="Restore it from a backup. When nothing of the testbed is up, generate "
            "the artefacts again instead.",
            detail=str(exc)[:2000],
        ) from exc


def _stamp(path: Path | str) -> Stamp:
    """Return a file's version: a replaced file is another inode, markers only grow."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path takes as long as the call
    except FileNotFoundError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _marker_lines(path: Path) -> Iterator[dict[str, str | int | None]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:  # a new state replaced and includes them
        return
    for line in filter(None, lines):
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if isinstance(found, dict) and "guest" in found:
            yield found
        else:
            logger.warning("%s: a broken line is left out", path)


def _marked(
    guest: GuestState, changes: dict[str, str | int | None] | None
) -> GuestState:
    if not changes:
        return guest
    known = {key: changes[key] for key in changes if key in _MARKERS}
    markers = guest.markers.model_copy(update=known)
    return guest.model_copy(update={"markers": markers})
