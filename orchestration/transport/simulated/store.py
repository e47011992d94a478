"""Storage of a simulated machine between commands: state, log, files and faults.

One folder holds `<machine>.json`, `.log`, `.faults.json` and small files' contents for
all simulated machines; a lock per machine lets many worker processes share it.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import StateError
from orchestration.files import write_whole
from orchestration.locks import held
from orchestration.transport.simulated.machine import Machine

LOG_BYTES = 512 * 1024
# Held for each call to a simulated machine: threads that do these short reads of files
# side by side spend twice their time in handing Python's own lock to each other.
TURN = threading.RLock()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a command: slow, failing, unreachable, or not ending."""

    exit_code: int = 0
    stderr: str = ""
    sleep_s: float = 0.0
    stubborn: bool = False
    unreachable: bool = False


class Store:
    """The files of one simulated machine."""

    def __init__(self, machine: str, folder: Path) -> None:
        if not machine or "/" in machine or machine.startswith("."):
            raise ValueError(f"not a machine's name: {machine!r}")
        self._name = machine
        folder.mkdir(parents=True, exist_ok=True)
        self._state = folder / f"{machine}.json"
        self._lock = folder / f"{machine}.lock"
        self._log = folder / f"{machine}.log"
        self._faults = folder / f"{machine}.faults.json"
        self._files = folder / f"{machine}.files"

    def fault(self, line: str) -> Fault:
        """Return the fault with the longest prefix of the line."""
        try:
            entries = json.loads(self._faults.read_text())
            matching = [prefix for prefix in entries if line.startswith(prefix)]
            return Fault(**entries[max(matching, key=len)]) if matching else Fault()
        except FileNotFoundError:
            return Fault()
        except (ValueError, TypeError) as exc:
            raise StateError(
                f"The faults of simulated machine {self._name} cannot be read.",
                hint="Correct or remove the file.",
                detail=f"{self._faults}: {exc}",
            ) from exc

    @contextmanager
    def opened(self) -> Iterator[Machine]:
        """Lock the machine and yield it; store its changes at the end."""
        with TURN, held(self._lock):
            before = self._state.read_text() if self._state.exists() else ""
            machine = Machine.from_json(before) if before else Machine()
            yield machine
            after = machine.to_json()
            if after != before:
                write_whole(self._state, after)

    def record(self, exit_code: int, line: str) -> None:
        """Add a line to the log; drop the first half of a log that is too long."""
        with self._log.open("a+", encoding="utf-8") as log:
            if log.tell() > LOG_BYTES:
                log.seek(0)
                kept = log.read()[-LOG_BYTES // 2 :].partition("\n")[2]
                log.truncate(0)
                log.write(kept)
            log.write(
                f"{exit_code} {line!r}\n" if "\n" in line else f"{exit_code} {line}\n"
            )

    def keep(self, data: bytes) -> str:
        """Store a file's content; return its SHA-256, the key for `content`."""
        sha256 = hashlib.sha256(data).hexdigest()
        self._files.mkdir(exist_ok=True)
        (self._files / sha256).write_bytes(data)
        return sha256

    def content(self, sha256: str) -> bytes:
        """Return a stored file's content."""
        return (self._files / sha256).read_bytes()
