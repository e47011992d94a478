"""The things that go with a testbed, or with one of its files."""

import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db.models import Count, Max, Sum
from django.utils import timezone

from orchestration.amounts import count_of, size
from orchestration.errors import StateError
from orchestration.project.fetched import fetched_bytes
from testbed.models import Testbed
from testbed.testbeds.erasure.disks import all_disks
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort
from testbed.testbeds.stored_files import list_files

DELETE_TESTBED, DELETE_FILE = "delete-testbed", "delete-file"


def erased_testbed(testbed: Testbed) -> Erasure:
    """Return what the deletion of a testbed erases; its files mostly go to the trash."""
    disks, seen_at = all_disks(testbed)
    files = _files(testbed)
    lost = () if settings.TRASH_DAYS else files
    return Erasure(
        DELETE_TESTBED,
        str(testbed.pk),
        (*disks, *lost, *_fetched(testbed), *_runs(testbed)),
        must_type=testbed.name if disks else "",
        kept=_kept(files),
        seen_at=seen_at,
    )


def erased_file(testbed: Testbed, path: str) -> Erasure:
    """Return what the deletion of a file erases.

    Raises: PathOutside, StateError (there is no such file).
    """
    name = stored_path(testbed, path)
    found = [loss for loss in _files(testbed) if loss.name == name]
    if not found:
        raise StateError(f"There is no file {path}.", hint="Load the page again.")
    lost = () if settings.TRASH_DAYS else tuple(found)
    return Erasure(DELETE_FILE, str(testbed.pk), lost, kept=_kept(found))


def stored_path(testbed: Testbed, path: str) -> str:
    """Return a file's path as the disk spells it. Raises: PathOutside."""
    root = Path(os.path.realpath(testbed.project.files))
    return str(testbed.project.file(path).relative_to(root))


def _kept(files: Sequence[Loss]) -> tuple[str, ...]:
    """Return the sentence about files that go to the trash."""
    if not (files and settings.TRASH_DAYS):
        return ()
    name = files[0].name if len(files) == 1 else f"Its {len(files)} files"
    until = timezone.localtime(timezone.now() + timedelta(days=settings.TRASH_DAYS))
    amount = size(sum(file.size_bytes or 0 for file in files))
    return (
        f"{name} ({amount}) can be restored from the trash until {until:%-d %b %Y}.",
    )


def _files(testbed: Testbed) -> list[Loss]:
    """Return the user's files; one that was written to since is another one."""
    found = list_files(testbed)
    return [
        Loss(Sort.FILE, path, size_bytes=size, version=_version(testbed, path))
        for path, size in found.items()
    ]


def _version(testbed: Testbed, path: str) -> str:
    status = (testbed.project.files / path).lstat()
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _fetched(testbed: Testbed) -> list[Loss]:
    taken = fetched_bytes(testbed.project.fetched_of_all)
    return [Loss(Sort.FETCHED, "fetched files", size_bytes=taken)] if taken else []


def _runs(testbed: Testbed) -> list[Loss]:
    found = testbed.runs.order_by().aggregate(
        count=Count("pk"), last=Max("pk"), size=Sum("log_bytes")
    )
    if not found["count"]:
        return []
    name = f"records and logs of {count_of(found['count'], 'run')}"
    version = str(found["last"])
    return [Loss(Sort.LOGS, name, size_bytes=found["size"], version=version)]
