"""The things that an act erases, as values, and the confirmation that it needs.

`disks` and the services that erase make these values from states, rows and files. The
service that does the act compares the confirmation, so that pages, programs and clients
have the same rule. A person confirms by the form's seal and, where disks die, by typing
a name; a program sends the token. Both follow from what dies, by name and place and not
by size: a list that changed since it was shown confirms nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from orchestration.amounts import count_of, size
from orchestration.errors import TestbedError
from orchestration.providers.libvirt.snapshots.text import Snapshot

NAMED = 3


class Sort(StrEnum):
    """The sorts of things that acts erase."""

    DISK = "disk"
    SNAPSHOT = "snapshot"
    STATE = "present state"
    FILE = "file"
    LOGS = "logs"
    FETCHED = "fetched files"
    IMAGE = "image"
    SHARED = "share with all"
    TRASH = "trash"
    UNSAVED = "unsaved data"


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that dies. `size_bytes` is as last seen, None where nobody saw it.

    `version` tells it from another thing of the same name: a file's digest, say.
    """

    sort: Sort
    name: str
    host: str = ""
    size_bytes: int | None = None
    reason: str = ""
    version: str = ""

    @property
    def guest(self) -> str:
        """The guest that loses it."""
        return self.name if self.sort in (Sort.DISK, Sort.UNSAVED) else ""


@dataclass(frozen=True, slots=True)
class Erasure:
    """All that one act erases. `act` and `of` name the act and its object.

    `must_type` is the name that a person types, empty where a click is enough. `kept`
    are sentences about what stays. `seen_at` is the time of the oldest look that a size
    comes from.
    """

    act: str
    of: str
    losses: tuple[Loss, ...]
    must_type: str = ""
    kept: tuple[str, ...] = ()
    seen_at: datetime | None = None

    @property
    def size_bytes(self) -> int:
        """The bytes that die, as far as somebody saw them."""
        return sum(loss.size_bytes or 0 for loss in self.losses)

    @property
    def disks(self) -> tuple[Loss, ...]:
        """The disks that die."""
        return tuple(loss for loss in self.losses if loss.sort is Sort.DISK)

    @property
    def guests(self) -> set[str]:
        """The guests whose disks die."""
        return {loss.name for loss in self.disks}

    @property
    def seal(self) -> str:
        """A digest of the act and of what dies, for a person's form."""
        things = sorted(
            f"{loss.sort}\0{loss.name}\0{loss.host}\0{loss.version}"
            for loss in self.losses
        )
        return _digest(self.act, self.of, *things)

    @property
    def token(self) -> str:
        """The confirmation of the act."""
        return token_of(self.seal, self.must_type)

    @property
    def summary(self) -> str:
        """All of it in a few words: `the disks of web and db (1.2 GiB)`."""
        words = [_of_sort(sort, self.losses) for sort in Sort]
        amount = f" ({size(self.size_bytes)})" if self.size_bytes else ""
        return f"{', '.join(filter(None, words))}{amount}"

    def to_json(self) -> dict[str, object]:
        """Return it for programs, as docs/protocol.md shows it."""
        return {
            "confirm": self.token,
            "must_type": self.must_type,
            "bytes": self.size_bytes,
            "observed_at": self.seen_at,
            "kept": self.kept,
            "losses": [
                {
                    "sort": loss.sort,
                    "name": loss.name,
                    "host": loss.host,
                    "bytes": loss.size_bytes,
                    "reason": loss.reason,
                }
                for loss in self.losses
            ],
        }


class Unconfirmed(TestbedError):
    """An act would erase something, and was not confirmed; `erasure` is what dies."""

    def __init__(self, erasure: Erasure, *, is_stale: bool) -> None:
        changed = "The list is not the one that was confirmed. " if is_stale else ""
        super().__init__(
            f"{changed}This erases {erasure.summary}.",
            hint="Nothing was done. Read `erases`, and send its `confirm` to go on.",
        )
        self.erasure = erasure


def snapshot_loss(guest: str, host: str, found: Snapshot) -> Loss:
    """Return a guest's snapshot as a loss; another one of its name is another loss."""
    return Loss(
        Sort.SNAPSHOT,
        found.title,
        host,
        found.memory_bytes or None,
        f"snapshot of {guest}",
        f"{guest} {found.name} {found.created_at}",
    )


def token_of(seal: str, typed: str) -> str:
    """Return what a person's form confirms: its seal with the name that was typed."""
    return _digest(seal, typed)


def require_confirmed(erasure: Erasure, confirm: str) -> None:
    """Let an act erase what was confirmed. Raises: Unconfirmed."""
    if erasure.losses and confirm != erasure.token:
        raise Unconfirmed(erasure, is_stale=bool(confirm))


def _of_sort(sort: Sort, losses: Iterable[Loss]) -> str:
    found = [loss.name for loss in losses if loss.sort is sort]
    if sort is Sort.SNAPSHOT and found:  # two guests may each have one of a name
        return count_of(len(found), sort)
    names = list(dict.fromkeys(found))
    if not names:
        return ""
    if sort not in (Sort.DISK, Sort.STATE):
        return names[0] if len(names) == 1 else count_of(len(names), sort)
    if len(names) > NAMED:
        return f"the {sort}s of {count_of(len(names), 'guest')}"
    last = f"{', '.join(names[:-1])} and {names[-1]}" if names[1:] else names[0]
    return f"the {sort}{'s' if names[1:] else ''} of {last}"


def _digest(*parts: str) -> str:
    # A name that is no text has surrogates.
    text = "\n".join(parts).encode(errors="backslashreplace")
    return sha256(text).hexdigest()[:32]
