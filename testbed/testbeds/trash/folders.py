"""The folders of deleted testbeds and files, from the deletion until they are gone.

A testbed's folder is marked before its row is deleted, moved into the trash right
after, and there all but the user's files is removed; these too, unless a row of the
trash has them. A crash at any moment therefore leaves an identifiable folder: the mark
of an existing testbed is removed, a marked folder without a testbed is moved to the
trash, and of the trash all goes that no row has. A folder without a mark is never
touched: its testbed may have been lost with an older database, and come back. What is
brought back goes the same way in reverse, so that a crash puts it into the trash again.

Workers are root here: they move and remove what is in the trash, and read none of it.
"""

import logging
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import transaction

from orchestration.errors import StateError
from orchestration.files import give_to_owner_of, make_passable
from orchestration.locks import held
from orchestration.project.folder import Project
from testbed.models import Testbed, TrashItem

logger = logging.getLogger(__name__)
# Neither can be a testbed's name or a file of a user: those are in `files`.
MARK = ".deleted"
TRASH = ".trash"
# In the folder of a key: a testbed's whole folder, and what is kept.
WHOLE, KEPT = "whole", "kept"
KEY = re.compile(r"[0-9a-f]{32}")


def new_key() -> str:
    """Return a name for a folder of the trash."""
    return secrets.token_hex(16)


def mark(folder: Path, key: str = "") -> None:
    """Mark a testbed's folder before the deletion of its row; `key` names its place.

    Raises: StateError (the file could not be written).
    """
    if not folder.is_dir():
        return
    try:
        (folder / MARK).write_text(key)
    except OSError as exc:
        raise StateError(
            f"The folder {folder} could not be marked as deleted.",
            hint="Make room on its disk, and delete the testbed again.",
            detail=str(exc),
        ) from exc


def throw_away(folder: Path) -> None:
    """Move a marked folder into the trash, so that its name is free, and empty it.

    Raises: OSError (it could not be moved).
    """
    grave = None
    # No folder is made anew between the check of its mark and its move.
    with testbeds_held():
        if (folder / MARK).exists():
            grave = _grave((folder / MARK).read_text())
            folder.rename(grave / WHOLE)
    if grave is not None:
        _settle(grave, is_kept=TrashItem.objects.filter(key=grave.name).exists())


def throw_away_file(path: Path, key: str) -> None:
    """Move one file into the trash. Raises: OSError."""
    path.rename(_grave(key) / KEPT)


def take_back(key: str, target: Path) -> None:
    """Move what the trash keeps to its place. Raises: StateError (it is not there)."""
    try:
        (_trash() / key / KEPT).rename(target)
    except OSError as exc:
        raise StateError(
            "It is not in the trash any more, or not yet.",
            hint="Try again in some minutes.",
            detail=str(exc),
        ) from exc


@contextmanager
def testbeds_held() -> Iterator[None]:
    """Hold off the moves of testbeds' folders."""
    root = Path(settings.TESTBEDS_DIR)
    make_passable(root)
    with held(root):
        yield


def unmark(folder: Path) -> None:
    """Take the mark of a folder away: its testbed is there."""
    (folder / MARK).unlink(missing_ok=True)


def empty_trash() -> int:
    """Finish interrupted deletions; return how many folders were removed."""
    root = Path(settings.TESTBEDS_DIR)
    for found in root.glob(f"*/{MARK}"):
        _judge(found.parent)
    return remove_unkept([grave.name for grave in (root / TRASH).glob("*")])


def remove_unkept(keys: Collection[str]) -> int:
    """Remove the folders of these keys that no row has; return how many it were.

    The folders were listed before the rows are: a row comes before its folder.
    """
    kept = set(TrashItem.objects.filter(key__in=keys).values_list("key", flat=True))
    trash = Path(settings.TESTBEDS_DIR) / TRASH
    return sum(_settle(trash / key, is_kept=key in kept) for key in sorted(keys))


def keys_there() -> set[str]:
    """Return the keys whose things are in the trash."""
    trash = Path(settings.TESTBEDS_DIR) / TRASH
    return {
        path.parent.name for name in (WHOLE, KEPT) for path in trash.glob(f"*/{name}")
    }


def _judge(folder: Path) -> None:
    with transaction.atomic():
        # Waits for a deletion that is about to be committed.
        rows = Testbed.objects.select_for_update().filter(slug=folder.name)
        if rows.exists():
            unmark(folder)
            return
    try:
        throw_away(folder)
    except OSError as exc:
        logger.warning("%s of a deleted testbed could not be moved: %s", folder, exc)


def _trash() -> Path:
    """Return the trash, made when missing, with the owner of the testbeds' folder."""
    trash = Path(settings.TESTBEDS_DIR) / TRASH
    if not trash.exists():
        trash.mkdir(mode=0o700)
        give_to_owner_of(trash.parent, trash)
    return trash


def _grave(key: str) -> Path:
    """Return the folder of a key, made when missing; one of its own without a key."""
    trash = _trash()
    grave = trash / (key if KEY.fullmatch(key) else new_key())
    grave.mkdir(mode=0o700, exist_ok=True)
    give_to_owner_of(trash, grave)
    return grave


def _settle(grave: Path, *, is_kept: bool) -> bool:
    """Remove what is not kept of a folder; return whether all of it is gone."""
    whole = grave / WHOLE
    if is_kept and whole.exists() and not (grave / KEPT).exists():
        with suppress(FileNotFoundError):  # its folder was lost before
            Project(whole).files.rename(grave / KEPT)
    rest = whole if is_kept else grave
    shutil.rmtree(rest, ignore_errors=True)
    if rest.exists():
        logger.warning("%s of a deleted testbed could not be removed", rest)
    return not grave.exists()
