"""Opens, saves, begins and renames files of a testbed, as the editor does.

Called by the views and the API with an authorised user. A save names the digest of the loaded text,
so that no other user's work is overwritten unseen. `texts` keeps the conventions of the
bytes (line ends, byte order mark); `files` writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from django.contrib.auth.models import User

from orchestration.errors import PathOutside, StateError, TestbedError
from orchestration.project.digests import digest_of_file
from orchestration.project.folder import YAML_NAME
from orchestration.project.groups import GroupRecord
from testbed.access.permissions import Act, record_act
from testbed.models import Entry, Testbed
from testbed.models.runs import require_no_run
from testbed.testbeds.files import files_locked, update_files
from testbed.testbeds.stored_files import digesting, list_files
from testbed.testbeds.texts import MAX_TEXT_BYTES, Text, put_back, read_text
from testbed.testbeds.uploads import check_yaml, safe_path

NAMED = 5
# Between the file that a save wrote and its entry of the record.
RECORDED_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Opened:
    """A file as it is now: `text` is None for a binary one, `digest` "" for none."""

    path: str
    size: int
    digest: str
    text: Text | None

    @property
    def is_new(self) -> bool:
        """Return whether no text was saved there yet."""
        return not self.digest


class EditConflict(TestbedError):
    """The file is not the one that was loaded; `now` is its current content.

    `seen` is the digest that was loaded, "" of no file. `by` is the user who changed it,
    where that is known.
    """

    def __init__(self, now: Opened, seen: str | None, *, by: str = "") -> None:
        hint = "Nothing was saved. Compare the two texts, then decide."
        if now.is_new:
            hint = "Nothing was saved. Save it as a new file, or leave it."
        super().__init__(_conflict(now, seen, by), hint=hint)
        self.now = now


def _conflict(now: Opened, seen: str | None, by: str) -> str:
    """Return how a file differs from the one that a save expects."""
    if now.is_new:
        if seen is None:
            return f"There is no file {now.path}."
        return f"{now.path} was deleted since it was read."
    if seen == "":
        return f"There is already a file {now.path}."
    by_user = f" by {by}" if by else ""
    return f"{now.path} was changed{by_user} since it was read."


def open_file(testbed: Testbed, path: str, reader: User) -> Opened:
    """Return a file, or an empty new one, for a user.

    A large one is read once for its digest. Raises: PathOutside, TooManyDigests.
    """
    opened = open_small(testbed, path)
    if opened is not None:
        return opened
    found = testbed.project.file(path)  # a disk image is never whole in memory
    size = found.stat().st_size
    with digesting(reader, size):
        return Opened(path, size, digest_of_file(found), None)


def open_small(testbed: Testbed, path: str) -> Opened | None:
    """Return a file, or an empty new one; None: it is too large to be read at once.

    Raises: PathOutside.
    """
    found = testbed.project.file(path)
    if safe_path(path) != path:
        raise PathOutside(f"{path!r} is another way to write {safe_path(path)!r}.")
    if path not in list_files(testbed):
        return Opened(path, 0, "", Text("", ()))
    if found.stat().st_size > MAX_TEXT_BYTES:
        return None
    content = found.read_bytes()
    digest = sha256(content).hexdigest()
    return Opened(path, len(content), digest, read_text(content))


def conflict_of(
    testbed: Testbed, now: Opened, reader: User, *, seen: str | None
) -> EditConflict:
    """Return the conflict about a file with the user who changed it, if known."""
    is_changed = bool(seen) and not now.is_new
    return EditConflict(
        now, seen, by=_saved_by(testbed, now.path, reader) if is_changed else ""
    )


def _saved_by(testbed: Testbed, path: str, reader: User) -> str:
    """Return the user by whose save a file is as it is; "" where none is known.

    The record has a save just after the file was written. Other ways, as a fetch of the
    source, name no file there. An earlier testbed may have had the same number.
    """
    try:
        written_at = datetime.fromtimestamp(
            testbed.project.file(path).stat().st_mtime, UTC
        )
    except OSError:
        return ""
    found = Entry.objects.filter(
        testbed_number=testbed.number,
        act=Act.EDIT.name.lower(),
        what__in=(f"saved {path}", f"uploaded {path}"),
        at__gte=testbed.created_at,
        at__range=(written_at, written_at + RECORDED_WITHIN),
    )
    users = set(found.values_list("user", flat=True))
    if len(users) != 1:
        return ""
    (user,) = users
    is_own = user == reader.get_username()
    return "you, in another window or program," if is_own else user


def require_seen(testbed: Testbed, now: Opened, seen: str | None, reader: User) -> None:
    """Let a file be replaced by a user who has seen this digest of it.

    "" is the digest of no file; None replaces whatever is there. Raises: EditConflict.
    """
    if now.digest != seen and (seen is not None or now.is_new):
        raise conflict_of(testbed, now, reader, seen=seen)


def save_text(testbed: Testbed, path: str, typed: str, by: User, *, seen: str) -> None:
    """Save the typed text, and record it, when `seen` is the digest of the current one.

    Raises: EditConflict, PathOutside, UploadRefused, TooManyDigests.
    """
    with files_locked(testbed):
        now = open_file(testbed, path, by)
        if now.digest != seen or now.text is None:
            raise conflict_of(testbed, now, by, seen=seen)
        before = b"" if now.is_new else testbed.project.file(path).read_bytes()
        update_files(testbed, {path: put_back(typed, before)})
        record_act(by, Act.EDIT, testbed, f"saved {path}")


def save_bytes(
    testbed: Testbed, path: str, content: bytes, by: User, *, seen: str | None
) -> str:
    """Save a file, and record it, when `seen` is the digest of the present one; return the new digest.

    "" is the digest of no file; None replaces whatever is there. Raises: EditConflict,
    PathOutside, UploadRefused, LimitReached, TooManyDigests.
    """
    with files_locked(testbed):
        require_seen(testbed, open_file(testbed, path, by), seen, by)
        update_files(testbed, {path: content})
        record_act(by, Act.EDIT, testbed, f"uploaded {path}")
    return sha256(content).hexdigest()


def add_files(testbed: Testbed, files: Mapping[str, bytes], user: User) -> None:
    """Add files, or replace those of the same paths, and record it.

    Raises: PathOutside, UploadRefused, LimitReached.
    """
    with files_locked(testbed):
        update_files(testbed, files)
    if not files:
        return
    named = ", ".join(sorted(files)[:NAMED])
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    record_act(user, Act.EDIT, testbed, f"uploaded {named}{more}")


def put_yaml_back(testbed: Testbed, found: GroupRecord) -> str:
    """Make a group's YAML the present one; return the path of the one before.

    Raises: StateError (nothing is known of it), TestbedBusy, LimitReached,
    UploadRefused (the present YAML is huge).
    """
    if not found.compose:
        raise StateError(
            f"The YAML of group snapshot {found.name} is not known.",
            hint="Its file in the testbed's folder is gone.",
        )
    with files_locked(testbed):
        require_no_run(testbed.runs.all())
        yaml = testbed.project.read_yaml()
        check_yaml(YAML_NAME, len(yaml))  # else a part of it would be kept
        kept = _free_name(testbed, f"kvm-compose.before-{found.name}")
        files = {
            kept: yaml,
            YAML_NAME: found.compose.encode(),
        }
        update_files(testbed, files)
    return kept


def require_new(testbed: Testbed, path: str) -> str:
    """Return the plain path of a new file. Raises: PathOutside, StateError."""
    plain = safe_path(path)
    parts = plain.split("/")
    above = {"/".join(parts[:count]) for count in range(1, len(parts))}
    is_taken = testbed.project.file(plain).exists()
    if is_taken or above & list_files(testbed).keys():
        raise StateError(
            f"There is already something at {plain}.", hint="Choose another name."
        )
    return plain


def rename_file(testbed: Testbed, path: str, new: str, by: User) -> str:
    """Give a file another path, and record it; return the path.

    Raises: PathOutside, StateError, UploadRefused.
    """
    with files_locked(testbed):
        if safe_path(path) == YAML_NAME:
            raise StateError(f"{YAML_NAME} keeps its name.", hint="Copy it instead.")
        if path not in list_files(testbed):
            raise StateError(f"There is no file {path}.", hint="Load the page again.")
        plain = require_new(testbed, new)
        check_yaml(plain, list_files(testbed)[path])
        target = testbed.project.file(plain)
        target.parent.mkdir(parents=True, exist_ok=True)
        testbed.project.file(path).rename(target)
    record_act(by, Act.EDIT, testbed, f"renamed {path} to {plain}")
    return plain


def _free_name(testbed: Testbed, stem: str) -> str:
    taken, number = list_files(testbed).keys(), 1
    name = f"{stem}.yaml"
    while name in taken:
        number += 1
        name = f"{stem}-{number}.yaml"
    return name
