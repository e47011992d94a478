"""Receives a file of a testbed in parts, and puts it in its place at the end.

Called by the API with a user who was allowed to edit the testbed just now. The parts lie
beside the testbed's files and count against its owner's limits from the begin on. What
is received is written piece by piece; a part is on the disk before its row says so.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.compose.files import composed
from orchestration.errors import PathOutside, TestbedError
from orchestration.files import give_to_owner_of
from orchestration.locks import held_if_free
from orchestration.project.digests import digest_of_file
from testbed.access.limits import LimitReached, require_files
from testbed.access.permissions import Act, may, record_act
from testbed.models import Testbed, Upload
from testbed.testbeds.editing import open_file, require_seen
from testbed.testbeds.files import files_locked, require_no_file_above
from testbed.testbeds.stored_files import (
    count_again,
    digesting,
    files_bytes_of,
    list_files,
    open_bytes,
    reserve,
    wait_for_other_uploads,
)
from testbed.testbeds.uploads import check_bounds, check_yaml, safe_path

MOST_OPEN = 10
KEPT = timedelta(hours=24)
ANY = "*"


class UploadEnded(TestbedError):
    """The upload expired, was ended, or is whole already."""


class WrongOffset(TestbedError):
    """A part does not begin where the last one ended."""


class PartTooLong(TestbedError):
    """A part goes beyond the announced size."""


class UploadBusy(TestbedError):
    """Another part of the same upload is being received."""


class DiskFull(TestbedError):
    """The server has no room for a part; nothing of it was kept."""


class WrongDigest(TestbedError):
    """The whole file is not the one that was announced; it was removed."""


def begin(
    testbed: Testbed, user: User, path: str, size: int, *, seen: str, sha256: str
) -> Upload:
    """Begin an upload; `seen` and `sha256` are as in its row.

    Raises: PathOutside, EditConflict, LimitReached, UploadRefused, TooManyDigests.
    """
    plain = safe_path(composed(path))
    check_yaml(plain, size)
    kept = list_files(testbed)
    require_seen(testbed, open_file(testbed, plain, user), _expected(seen), user)
    check_bounds(dict.fromkeys((*kept, plain), b""))
    require_no_file_above((*kept, plain))
    others = sum(kept[name] for name in kept.keys() - {plain})
    with transaction.atomic():
        wait_for_other_uploads(testbed.owner, user)
        _require_one_more(user)
        _require_room(testbed, others + size)
        return Upload.objects.create(
            user=user,
            testbed=testbed,
            path=plain,
            size=size,
            seen=seen,
            sha256=sha256,
            expires_at=timezone.now() + KEPT,
        )


def receive(upload: Upload, offset: int, pieces: Iterable[bytes]) -> Upload:
    """Write a part that begins at `offset`; return the row as it is then.

    Raises: UploadEnded, UploadBusy, WrongOffset, PartTooLong, DiskFull.
    """
    with _alone(upload) as row:
        if offset != row.offset:
            raise WrongOffset(
                f"{row.offset} bytes have arrived; this part begins at {offset}.",
                hint="Ask for the offset with HEAD, and go on there.",
            )
        row.offset = _write(row, pieces)
        row.expires_at = timezone.now() + KEPT
        now = {"offset": row.offset, "expires_at": row.expires_at}
        if not Upload.objects.filter(pk=row.pk).update(**now):
            part_of(row).unlink(missing_ok=True)
            raise _ended()
        return row


def finish(upload: Upload) -> str:
    """Put a whole upload in its place; return its digest.

    Where the file there is another one by now, the upload stays. Raises: UploadEnded,
    UploadBusy, WrongDigest, EditConflict, LimitReached, PathOutside, TooManyDigests.
    """
    with _alone(upload) as row:
        part = part_of(row)
        with digesting(row.user, row.size):
            digest = digest_of_file(part)
        if row.sha256 and digest != row.sha256:
            remove(row)
            raise WrongDigest(
                f"{row.path} arrived with the SHA-256 {digest}, not {row.sha256}.",
                hint="It was removed. Send it again.",
            )
        _put_in_place(row, part)
    record_act(row.user, Act.EDIT, row.testbed, f"uploaded {row.path}")
    return digest


def end(upload: Upload) -> None:
    """End an upload that no part comes to. Raises: UploadBusy, UploadEnded."""
    with _alone(upload) as row:
        remove(row)


def remove(upload: Upload) -> None:
    """End an upload, and remove what has arrived."""
    Upload.objects.filter(pk=upload.pk).delete()
    part_of(upload).unlink(missing_ok=True)


def end_forbidden(testbed: Testbed) -> None:
    """End the uploads of those who may not edit a testbed any more."""
    _end_forbidden(Upload.objects.filter(testbed=testbed))


def end_forbidden_of(users: Iterable[User]) -> None:
    """End the uploads of users to testbeds that they may not edit any more."""
    _end_forbidden(Upload.objects.filter(user__in=list(users)))


def _end_forbidden(uploads: QuerySet[Upload]) -> None:
    for upload in uploads.select_related("user", "testbed__owner"):
        if not may(upload.user, Act.EDIT, upload.testbed):
            remove(upload)


def part_of(upload: Upload) -> Path:
    """Return the file that holds what has arrived."""
    return upload.testbed.directory / "uploads" / upload.key


def _require_one_more(user: User) -> None:
    if Upload.objects.filter(user=user).count() >= MOST_OPEN:
        raise LimitReached(
            f"You have {MOST_OPEN} open uploads.",
            hint="Send the rest of one, or end it with DELETE.",
        )


def _require_room(testbed: Testbed, bytes_then: int) -> None:
    """Let a testbed have so many bytes beside what is under way. Raises: LimitReached."""
    owner = testbed.owner
    elsewhere = files_bytes_of(owner, but=testbed)
    in_testbed = bytes_then + open_bytes(testbed)
    require_files(owner, in_testbed=in_testbed, elsewhere=elsewhere)


@contextmanager
def _alone(upload: Upload) -> Iterator[Upload]:
    """Yield the row as it is, while no other request changes it.

    Raises: UploadBusy, UploadEnded.
    """
    part = part_of(upload)
    with held_if_free(part) as is_held:
        if not is_held:
            raise UploadBusy(
                "Another part of this upload is being received.",
                hint="Wait for its end, then ask for the offset with HEAD.",
            )
        people = ("user", "testbed__owner")
        row = Upload.objects.select_related(*people).filter(pk=upload.pk).first()
        # Another request may have moved the part just now, or a crash came behind that.
        if row is None or part.stat().st_size < row.offset:
            remove(upload)
            raise _ended()
        yield row


def _ended() -> UploadEnded:
    return UploadEnded("This upload has ended.", hint="Look whether the file is there.")


def _write(row: Upload, pieces: Iterable[bytes]) -> int:
    """Write a part behind what has arrived; return the new offset.

    Raises: PartTooLong, DiskFull (nothing of it is kept).
    """
    try:
        return _written(row, pieces)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.truncate(part_of(row), row.offset)
        raise DiskFull(
            f"The server has no room for this part of {row.path}; "
            f"{row.offset} bytes of it are kept.",
            hint="Send the part again later, or ask a lab admin to free space.",
        ) from exc


def _written(row: Upload, pieces: Iterable[bytes]) -> int:
    with part_of(row).open("r+b") as file:
        give_to_owner_of(row.testbed.project.files, file.fileno())
        file.truncate(row.offset)  # what a crash left of a part that was not noted
        file.seek(row.offset)
        end = row.offset
        for piece in pieces:
            end += len(piece)
            if end > row.size:
                file.truncate(row.offset)
                raise PartTooLong(
                    f"{row.path} was announced with {row.size} bytes; this part has more.",
                    hint="Ask for the offset with HEAD, and send what is missing.",
                )
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return end


def _put_in_place(row: Upload, part: Path) -> None:
    testbed = row.testbed
    check_yaml(row.path, row.size)
    with files_locked(testbed):
        now = open_file(testbed, row.path, row.user)
        require_seen(testbed, now, _expected(row.seen), row.user)
        kept = list_files(testbed)
        check_bounds(dict.fromkeys((*kept, row.path), b""))
        found = sum(kept[name] for name in kept.keys() - {row.path}) + row.size
        is_more = found > sum(kept.values())
        reserve(testbed, found, is_more=is_more, ended=row)
        target = testbed.project.file(row.path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with transaction.atomic():
                _take_row(row)
                part.replace(target)
        except (FileExistsError, IsADirectoryError, NotADirectoryError) as exc:
            raise PathOutside(
                f"{row.path!r} is a file in one place and a folder in another.",
                hint="Rename one of them.",
            ) from exc
        finally:
            count_again(testbed)


def _take_row(row: Upload) -> None:
    """Delete an upload's row; of two requests one does. Raises: UploadEnded."""
    if not Upload.objects.filter(pk=row.pk).delete()[0]:
        raise _ended()


def _expected(seen: str) -> str | None:
    """Return the digest that a save expects, as `require_seen` takes it."""
    return None if seen == ANY else seen
