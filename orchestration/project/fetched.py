"""The files that guests sent: where they lie, and how much of the disk they may take.

    <project>/fetched/<run>/<guest>/        what one guest sent, complete
    <project>/fetched/<run>/.<guest>.part/  what it is sending

Many guests send at once, to several processes. Each reserves disk in steps in a ledger,
so that together they stay within the testbed's quota and leave main its spare space. A
folder that was deleted gives its space back by being gone.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from orchestration.amounts import size
from orchestration.errors import NotEnoughSpace
from orchestration.files import give_to_owner_of
from orchestration.ledgers import opened

STEP_BYTES = 4 * 1024 * 1024
_LEDGER = ".usage.json"


@dataclass(frozen=True, slots=True)
class Quota:
    """The bounds of what a testbed fetches: what it takes on disk, and a guest's entries.

    `spare_bytes` stay free on the disk of main.
    """

    size_bytes: int = 20 * 1024**3
    entries: int = 100_000
    spare_bytes: int = 1024**3


class _Usage(BaseModel):
    """The bytes that each guest of each run has reserved, by `<run>/<guest>`."""

    reserved: dict[str, int] = {}

    def others(self, folder: Path, own: str = "") -> dict[str, int]:
        """Return what guests have reserved whose files are there, `own` excepted."""
        return {
            key: amount
            for key, amount in self.reserved.items()
            if key != own and _is_there(folder, key)
        }


def fetched_bytes(folder: Path) -> int:
    """Return how much of its quota a testbed uses; `folder` has all its runs."""
    ledger = folder / _LEDGER
    if not ledger.is_file():
        return 0
    with opened(ledger, _Usage) as usage:
        return sum(usage.others(folder).values())


class Arrival:
    """The folder of one guest's files while they arrive; used by one thread."""

    def __init__(self, run_folder: Path, guest: str, quota: Quota) -> None:
        self._all = run_folder.parent
        self._key = f"{run_folder.name}/{guest}"
        self._place = run_folder / guest
        self._quota = quota
        self._used = self._reserved = 0
        self.part = run_folder / f".{guest}.part"

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Make the folder; give it its name at the end, or remove it with an error."""
        self._discard()
        for folder in (self._all, self._all / self._place.parent.name, self.part):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
                give_to_owner_of(folder.parent, folder)
        try:
            yield self.part
            self._reserve(self._used)
        except BaseException:
            self._discard()
            with suppress(OSError):
                self._reserve(0)
            raise
        if self._place.exists():
            shutil.rmtree(self._place)
        self.part.rename(self._place)

    def spend(self, count: int) -> None:
        """Count what is about to take place on the disk. Raises: NotEnoughSpace."""
        self._used += count
        if self._used > self._reserved:
            self._reserve(self._used + STEP_BYTES)

    def _reserve(self, wanted: int) -> None:
        """Set what this guest has reserved. Raises: NotEnoughSpace."""
        ledger = self._all / _LEDGER
        with opened(ledger, _Usage) as usage:
            give_to_owner_of(self._all, ledger)  # the web reads it, too
            others = usage.others(self._all, self._key)
            if wanted > self._reserved:
                wanted = min(wanted, self._allowed(sum(others.values())))
            usage.reserved = {**others, self._key: wanted} if wanted else others
        self._reserved = wanted

    def _allowed(self, others_bytes: int) -> int:
        """Return what this guest may take. Raises: NotEnoughSpace (it takes more)."""
        allowed = self._quota.size_bytes - others_bytes
        if self._used > allowed:
            raise NotEnoughSpace(
                f"The testbed's fetched files would take more than "
                f"{size(self._quota.size_bytes)}.",
                hint="Delete fetched files of earlier runs, or fetch less.",
            )
        if shutil.disk_usage(self._all).free < self._quota.spare_bytes:
            raise NotEnoughSpace(
                "The disk of the main host is almost full.",
                hint="Delete fetched files of earlier runs, or ask a lab admin.",
            )
        return allowed

    def _discard(self) -> None:
        shutil.rmtree(self.part, ignore_errors=True)


def _is_there(folder: Path, key: str) -> bool:
    run, _, guest = key.partition("/")
    return any((folder / run / name).exists() for name in (guest, f".{guest}.part"))
