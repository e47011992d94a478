"""The files that testbeds keep: listed, counted, and compared with their owner's limits.

Each testbed's row has the sum of its files, so that an upload walks one folder and not
all of its owner's. `files.py` reserves new bytes here before it writes them. Once an
hour every folder is counted again, because an administrator may have changed one.
"""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import OuterRef, Subquery, Sum

from orchestration.errors import PathOutside
from orchestration.project.digests import digest_of_file
from orchestration.project.folder import YAML_NAME
from testbed.access.limits import LimitReached, require_files
from testbed.models import Testbed, TrashItem, Upload

# Of one user, in one process of the web: digests of large files take its threads.
MOST_DIGESTING = 2
UNCOUNTED = 1024**2
_digesting = Counter[int]()
_counting = threading.Lock()


def list_files(testbed: Testbed) -> dict[str, int]:
    """Return the user's files and their sizes in bytes, the YAML first."""
    root = testbed.project.files
    found = {
        os.path.relpath(entry.path, root): entry.stat(follow_symlinks=False).st_size
        for entry in (_files_below(root) if root.is_dir() else ())
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != YAML_NAME, item[0])))


def digests_of(testbed: Testbed) -> dict[str, tuple[int, str]]:
    """Return the user's files with their sizes and SHA-256.

    A file is read again only when its metadata changed. The digest of one that just
    went is empty.
    """
    root = testbed.project.files.resolve()
    return {
        path: (size, _digest_or_none(root / path))
        for path, size in list_files(testbed).items()
    }


def _digest_or_none(path: Path) -> str:
    try:
        return digest_of_file(path)
    except (OSError, PathOutside):
        return ""


class TooManyDigests(LimitReached):
    """As many files of a user are being read for their digests as may be at once."""


@contextmanager
def digesting(user: User, size: int) -> Iterator[None]:
    """Count a request that reads so many bytes at once. Raises: TooManyDigests.

    Small files are not counted.
    """
    if size <= UNCOUNTED:
        yield
        return
    with _counting:
        if _digesting[user.pk] >= MOST_DIGESTING:
            raise TooManyDigests(
                f"{MOST_DIGESTING} of your requests are reading whole files.",
                hint="Wait until one is answered.",
            )
        _digesting[user.pk] += 1
    try:
        yield
    finally:
        with _counting:
            _digesting[user.pk] -= 1
            if not _digesting[user.pk]:
                del _digesting[user.pk]


def files_bytes(testbed: Testbed) -> int:
    """Return the sum of a testbed's files as its row has it."""
    known = Testbed.objects.values_list("files_bytes", flat=True).get(pk=testbed.pk)
    return count_again(testbed) if known is None else known


def files_bytes_of(user: User, *, but: Testbed | None = None) -> int:
    """Return the sum of a user's files, trash and open uploads, but of one testbed."""
    own = Testbed.objects.filter(owner=user)
    own = own.exclude(pk=but.pk) if but else own
    for uncounted in own.filter(files_bytes=None):
        count_again(uncounted)
    uploads = Upload.objects.filter(testbed=OuterRef("pk")).order_by()
    sizes = uploads.values("testbed").annotate(sum=Sum("size")).values("sum")
    found = own.annotate(open=Subquery(sizes)).aggregate(
        files=Sum("files_bytes"), open_bytes=Sum("open")
    )
    trash = TrashItem.objects.filter(owner=user).size_bytes()
    return (found["files"] or 0) + (found["open_bytes"] or 0) + trash


def open_bytes(testbed: Testbed, *, but: Upload | None = None) -> int:
    """Return the announced sizes of a testbed's open uploads, of one excepted."""
    rows = Upload.objects.filter(testbed=testbed)
    rows = rows.exclude(pk=but.pk) if but else rows
    found: int = rows.aggregate(sum=Sum("size"))["sum"] or 0
    return found


def reserve(
    testbed: Testbed,
    new_bytes: int,
    *,
    is_more: bool,
    trashed: int = 0,
    ended: Upload | None = None,
) -> None:
    """Note the sum that a testbed's files are about to have.

    `trashed` are the bytes that go to the trash with that, and `ended` is the upload
    that ends with it. Other open uploads count, too. Uploads of one user wait for
    one another here, so that two never take the same bytes. With less than before there
    is no limit. Raises: LimitReached.
    """
    with transaction.atomic():
        wait_for_other_uploads(testbed.owner)
        if is_more:
            elsewhere = files_bytes_of(testbed.owner, but=testbed) + trashed
            in_testbed = new_bytes + open_bytes(testbed, but=ended)
            require_files(testbed.owner, in_testbed=in_testbed, elsewhere=elsewhere)
        Testbed.objects.filter(pk=testbed.pk).update(files_bytes=new_bytes)


def wait_for_other_uploads(*users: User) -> None:
    """Let one upload of each user be counted at a time, until the transaction's end."""
    rows = User.objects.filter(pk__in=[user.pk for user in users]).order_by("pk")
    list(rows.select_for_update(no_key=True))


def count_again(testbed: Testbed) -> int:
    """Walk a testbed's folder and save the sum of its files."""
    found = sum(list_files(testbed).values())
    Testbed.objects.filter(pk=testbed.pk).update(files_bytes=found)
    return found


def count_all_again() -> int:
    """Correct the sums of all testbeds; return how many were wrong.

    A sum that an upload changes meanwhile is its own, and stays.
    """
    corrected = 0
    for testbed in Testbed.objects.all():
        found = sum(list_files(testbed).values())
        if found != testbed.files_bytes:
            row = Testbed.objects.filter(pk=testbed.pk, files_bytes=testbed.files_bytes)
            corrected += row.update(files_bytes=found)
    return corrected


def _files_below(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """Yield the regular files in a folder and its subfolders; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry
