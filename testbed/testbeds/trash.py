"""The folder of a deleted testbed, from the deletion until it is gone.

The folder is marked before the row is deleted, moved into the trash right after, and
removed there. A crash at any moment therefore leaves an identifiable folder: the mark
of an existing testbed is removed, a marked folder without a testbed is moved to the
trash, and the trash is emptied. A folder without a mark is never touched: its testbed
may have been lost with an older database, and come back.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path

from django.conf import settings
from django.db import transaction

from orchestration.errors import StateError
from orchestration.files import make_passable
from orchestration.locks import held
from testbed.models import Testbed

logger = logging.getLogger(__name__)
# Neither can be a testbed's name or a file of a user: those are in `files`.
MARK = ".deleted"
TRASH = ".trash"


def mark(folder: Path) -> None:
    """Mark a testbed's folder before the deletion of its row.

    Raises: StateError (the file could not be written).
    """
    if not folder.is_dir():
        return
    try:
        (folder / MARK).touch()
    except OSError as exc:
        raise StateError(
            f"The folder {folder} could not be marked as deleted.",
            hint="Make room on its disk, and delete the testbed again.",
            detail=str(exc),
        ) from exc


def throw_away(folder: Path) -> None:
    """Move a marked folder into the trash, so that its name is free, and remove it.

    Raises: OSError (it could not be moved).
    """
    grave = ""
    root = Path(settings.TESTBEDS_DIR)
    make_passable(root)
    # Under the lock: no folder is made anew between the check of its mark and its move.
    with held(root):
        if (folder / MARK).exists():
            grave = tempfile.mkdtemp(dir=_trash(), prefix=f"{folder.name}.")
            folder.rename(Path(grave) / folder.name)
    if grave:
        _remove(Path(grave))


def empty_trash() -> int:
    """Finish interrupted deletions; return how many folders were removed."""
    root = Path(settings.TESTBEDS_DIR)
    for found in root.glob(f"*/{MARK}"):
        _judge(found.parent)
    graves = sorted((root / TRASH).glob("*"))
    return sum(map(_remove, graves))


def _judge(folder: Path) -> None:
    with transaction.atomic():
        # Waits for a deletion that is about to be committed.
        rows = Testbed.objects.select_for_update().filter(slug=folder.name)
        if rows.exists():
            (folder / MARK).unlink(missing_ok=True)
            return
    try:
        throw_away(folder)
    except OSError as exc:
        logger.warning("%s of a deleted testbed could not be moved: %s", folder, exc)


def _trash() -> Path:
    """Return the trash, made when missing, with the owner of the testbeds' folder."""
    root = Path(settings.TESTBEDS_DIR)
    trash = root / TRASH
    if not trash.exists():
        trash.mkdir(mode=0o700)
        os.chown(trash, root.stat().st_uid, root.stat().st_gid)
    return trash


def _remove(grave: Path) -> bool:
    shutil.rmtree(grave, ignore_errors=True)
    if grave.exists():
        logger.warning("%s of a deleted testbed could not be removed", grave)
    return not grave.exists()
