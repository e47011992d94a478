"""Brings deleted testbeds and files back from the trash.

A testbed comes back as a draft with its files, description, tags, saved commands and a
number of its own, under its name or, where that is taken, the next free one. A file comes back to its
testbed, and replaces nothing that is there by then.
"""

from contextlib import ExitStack, suppress
from pathlib import PurePosixPath

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.errors import StateError
from testbed.access.limits import require_files
from testbed.access.names import NameTaken
from testbed.access.permissions import Act, record_act, require, require_scope
from testbed.models import SavedCommand, Testbed, TrashItem
from testbed.models.listing.names import free_name
from testbed.testbeds.editing import require_new
from testbed.testbeds.files import allocate, files_locked
from testbed.testbeds.listing.labels import give_labels
from testbed.testbeds.stored_files import (
    count_again,
    files_bytes,
    files_bytes_of,
    open_bytes,
)
from testbed.testbeds.trash.folders import mark, take_back, testbeds_held, unmark

NAMES_TRIED = 20


def bring_back(item: TrashItem, user: User) -> tuple[Testbed, str]:
    """Bring a thing back that a user sees, and record it.

    Returns its testbed and a sentence. Raises: as the functions below; NotAllowed.
    """
    if not item.path:
        require_scope(user, Act.RESTORE)
        testbed = restore_testbed(item)
        is_same = testbed.name == item.slug
        other = "" if is_same else f" as {testbed.name}: its name was taken"
        words = f"{item.slug} is back{other}. Up makes its guests anew."
        record_act(user, Act.RESTORE, testbed, words)
        return testbed, words
    testbeds = Testbed.objects.all().visible_to(user).select_related("owner")
    found = testbeds.filter(pk=item.origin).first()
    if found is None:
        raise StateError(
            f"The testbed {item.slug} of this file is gone, or another user's.",
            hint="Restore the testbed first, if it is in the trash.",
        )
    require(user, Act.EDIT, found)
    path = restore_file(item, found)
    other = "" if path == item.path else f" as {path}: its name was taken"
    words = f"{item.path} is back{other}."
    record_act(user, Act.EDIT, found, words)
    return found, words


def restore_testbed(item: TrashItem) -> Testbed:
    """Make a deleted testbed anew for its owner.

    Raises: StateError (it is gone; no number or name is free), LimitReached.
    """
    with ExitStack() as moves:
        with transaction.atomic():
            _taken(item)  # its bytes count for the testbed from here on
            testbed = _allocated(item)
            moves.enter_context(testbeds_held())
            testbed.project.create()
            mark(testbed.directory, item.key)
            take_back(item.key, testbed.project.files)
            _bring_commands_back(testbed, item)
            give_labels(testbed, item.description, item.tags)
            TrashItem.objects.filter(origin=item.origin).update(origin=testbed.pk)
        unmark(testbed.directory)
    return testbed


def restore_file(item: TrashItem, testbed: Testbed) -> str:
    """Bring a deleted file back to its testbed; return its path.

    Raises: StateError (it is gone; there is no path for it), LimitReached.
    """
    with files_locked(testbed):
        path = _free_path(testbed, item.path)
        elsewhere = files_bytes_of(testbed.owner, but=testbed) - item.size_bytes
        in_testbed = files_bytes(testbed) + open_bytes(testbed) + item.size_bytes
        require_files(testbed.owner, in_testbed=in_testbed, elsewhere=elsewhere)
        target = testbed.project.file(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        take_back(item.key, target)
        item.delete()
        count_again(testbed)
    return path


def _taken(item: TrashItem) -> None:
    """Delete an item's row; of two requests one does. Raises: StateError."""
    if not TrashItem.objects.filter(pk=item.pk).delete()[0]:
        raise StateError(f"The {item.thing} is not in the trash any more.")


def _allocated(item: TrashItem) -> Testbed:
    """Make the row, under the first name that is free. Raises: as `allocate`."""
    for _ in range(NAMES_TRIED):
        with suppress(NameTaken):  # taken just now
            name = free_name(item.owner, item.slug)
            return allocate(item.owner, name, item.size_bytes)
    raise StateError(
        f"No name like {item.slug} is free.", hint="Delete or wait for one of them."
    )


def _free_path(testbed: Testbed, path: str) -> str:
    """Return the path, or one beside it that is free. Raises: StateError."""
    whole = PurePosixPath(path)
    names = [whole.name]
    for number in range(1, NAMES_TRIED):
        end = f"-{number}" if number > 1 else ""
        names.append(f"{whole.stem}-restored{end}{whole.suffix}")
    problem: StateError | None = None
    for name in names:
        try:
            return require_new(testbed, str(whole.with_name(name)))
        except StateError as exc:
            problem = exc
    raise problem or StateError(f"There is no place for {path}.")


def _bring_commands_back(testbed: Testbed, item: TrashItem) -> None:
    SavedCommand.objects.bulk_create(
        SavedCommand(
            testbed=testbed,
            name=saved["name"],
            execution=saved["execution"],
            saved_by_id=saved["saved_by"],
        )
        for saved in item.commands
    )
