"""The things that go with a testbed, or with one of its files."""

import os
from pathlib import Path

from django.db.models import Count, Max, Sum

from orchestration.amounts import count_of
from orchestration.errors import StateError
from orchestration.project.fetched import fetched_bytes
from testbed.models import Testbed
from testbed.testbeds.erasure.disks import all_disks
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort
from testbed.testbeds.stored_files import list_files

DELETE_TESTBED, DELETE_FILE = "delete-testbed", "delete-file"


def erased_testbed(testbed: Testbed) -> Erasure:
    """Return what the deletion of a testbed erases."""
    disks, seen_at = all_disks(testbed)
    losses = (*disks, *_files(testbed), *_fetched(testbed), *_runs(testbed))
    typed = testbed.slug if disks else ""
    return Erasure(
        DELETE_TESTBED, str(testbed.pk), losses, must_type=typed, seen_at=seen_at
    )


def erased_file(testbed: Testbed, path: str) -> Erasure:
    """Return what the deletion of a file erases.

    Raises: PathOutside, StateError (there is no such file).
    """
    root = Path(os.path.realpath(testbed.project.files))
    name = str(testbed.project.file(path).relative_to(root))
    losses = tuple(loss for loss in _files(testbed) if loss.name == name)
    if not losses:
        raise StateError(f"There is no file {path}.", hint="Load the page again.")
    return Erasure(DELETE_FILE, str(testbed.pk), losses)


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
