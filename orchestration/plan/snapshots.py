"""A wish about snapshots of guests: take, restore, delete or rename one, or a group's.

Plans, pages, records and clients take it from here. Nothing here touches a machine.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestration.amounts import count_of
from orchestration.errors import ExecutionRefused

# libvirt stores each in a file of its name.
MOST_NAME = 255
MOST_TITLE = 80
MOST_DESCRIPTION = 1000
# QEMU also finds a snapshot by its number: a name of digits could be another's.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}", re.ASCII)
NAME_HINT = "Use a letter first, then letters, digits, dots, hyphens and underscores."


class SnapshotVerb(StrEnum):
    """The acts on snapshots."""

    CREATE = "create"
    RESTORE = "restore"
    DELETE = "delete"
    RENAME = "rename"


class Rhythm(StrEnum):
    """The schedules by which snapshots are taken, one of each in a testbed."""

    HOURLY = "hourly"
    NIGHTLY = "nightly"
    WEEKLY = "weekly"


@dataclass(frozen=True, slots=True)
class SnapshotWish:
    """One act on the snapshot `name` of each guest of the plan.

    `by` is the user who asked. `before` is the name of a snapshot of the present state,
    taken before another one is restored; empty for none. A deletion may include the
    `children`. A `title` is shown instead of the name, which never changes. `schedule`
    is the rhythm of the schedule that asked, in the name of its user. A restore of each
    guest's `latest` has the names by guest that were seen when it was asked for. `taken`
    has the times, by guest, of the snapshots that were seen then: no other one of the
    name is touched. It lacks guests of which nobody had seen one. A deletion of `every`
    snapshot of its guest has the times by name of those that were seen; it has no name.
    """

    verb: SnapshotVerb
    name: str
    by: str
    description: str = ""
    before: str = ""
    children: bool = False
    title: str = ""
    schedule: str = ""
    is_group: bool = False
    latest: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, int] = field(default_factory=dict)
    every: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_of_latest(self) -> bool:
        """Return whether each guest returns to its own latest snapshot."""
        return self.is_group and self.verb is SnapshotVerb.RESTORE and not self.name

    @property
    def erases(self) -> bool:
        """Return whether data is lost: a snapshot's, or the guest's present state."""
        is_restore = self.verb is SnapshotVerb.RESTORE and not self.before
        return is_restore or self.verb is SnapshotVerb.DELETE

    @property
    def stores(self) -> bool:
        """Return whether a snapshot is taken."""
        return self.verb is SnapshotVerb.CREATE or bool(self.before)

    @property
    def sentence(self) -> str:
        """The act in words, without its guests."""
        if self.is_of_latest:
            return "Restore the latest snapshot"
        if self.every:
            return f"Delete {count_of(len(self.every), 'snapshot')}"
        noun = "group snapshot" if self.is_group else "snapshot"
        words = {
            SnapshotVerb.CREATE: f"Take {noun} {self.name}",
            SnapshotVerb.RESTORE: f"Restore {noun} {self.name}",
            SnapshotVerb.DELETE: f"Delete {noun} {self.name}",
            SnapshotVerb.RENAME: f"Rename {noun} {self.name} to {self.title}",
        }[self.verb]
        if self.schedule:
            return f"{words} by the {self.schedule} schedule"
        return f"{words} and its children" if self.children else words


def checked(wish: SnapshotWish) -> SnapshotWish:
    """Return a wish that is complete and consistent. Raises: ExecutionRefused."""
    if wish.is_group and wish.verb is SnapshotVerb.RENAME:
        raise ExecutionRefused(
            "A group snapshot keeps its name: its guests find theirs by it."
        )
    if wish.is_group and wish.children:
        raise ExecutionRefused(
            "A group snapshot is deleted without those below it.",
            hint="Delete these on each guest.",
        )
    if wish.every:
        _require_every(wish)
    elif wish.verb is SnapshotVerb.CREATE:
        _require_name(wish.name)
    elif not wish.is_of_latest and not (wish.name and wish.name.isprintable()):
        raise ExecutionRefused("No snapshot is named.", hint="Name one of the guest's.")
    _require_text("name", wish.name, most=MOST_NAME)
    if wish.before:
        _require_name(wish.before)
    if wish.before and wish.before == wish.name:
        raise ExecutionRefused(
            "The snapshot of the present state needs another name than the restored.",
            hint="Choose another name.",
        )
    if wish.verb is SnapshotVerb.RENAME:
        _require_text("name", wish.title, most=MOST_TITLE)
        if not wish.title:
            raise ExecutionRefused("The new name is empty.", hint="Write one.")
    _require_text("description", wish.description, most=MOST_DESCRIPTION)
    return wish


def _require_every(wish: SnapshotWish) -> None:
    if wish.verb is not SnapshotVerb.DELETE or wish.is_group:
        raise ExecutionRefused(
            "Only a deletion is of all snapshots, and of those of one guest."
        )
    if wish.name or wish.children:
        raise ExecutionRefused(
            "All snapshots of the guest are to be deleted, and one of them is named.",
            hint="Leave out its name, or do not ask for all.",
        )


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ExecutionRefused(
            f"A snapshot cannot be named `{name[:80]}`.", hint=NAME_HINT
        )


def _require_text(what: str, text: str, *, most: int) -> None:
    if len(text) > most or not text.isprintable():
        raise ExecutionRefused(
            f"The {what} of a snapshot is one line of at most {most} characters."
        )
