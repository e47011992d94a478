"""Compares the files here with those of a commit and of the one fetched before. Pure.

A file that only the repository changed is written, one that only was edited here stays,
and one that both changed is a conflict: then nothing is written until a user decided.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

Digests = Mapping[str, str]  # of files, by their paths
Sides = tuple[str, str]  # the digests here and there; empty: there is no file


@dataclass(frozen=True, slots=True)
class Comparison:
    """The paths to add, change and remove, those kept, and the conflicts' digests.

    `replaced` are those of them whose content here was edited.
    """

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    conflicts: dict[str, Sides] = field(default_factory=dict)

    @property
    def written(self) -> list[str]:
        """Return the paths whose content is written."""
        return [*self.added, *self.changed]


def digest_of(content: bytes) -> str:
    """Return a content's SHA-256."""
    return sha256(content).hexdigest()


def compare(
    before: Digests,
    here: Digests,
    there: Digests,
    *,
    decided: Mapping[str, Sides] | None = None,
    takes: bool = False,
) -> Comparison:
    """Compare the files of the last commit, those here, and those of the new commit.

    `decided` has the conflicts that a user saw and decided: `takes` says how. One whose
    sides are others by now is a conflict again.
    """
    found = Comparison()
    for path in sorted({*before, *there}):
        old, mine, new = (each.get(path, "") for each in (before, here, there))
        if mine == new:
            continue
        if new == old:
            found.kept.append(path)
        elif mine == old:
            _apply(found, path, mine, new)
        elif (decided or {}).get(path) != (mine, new):
            found.conflicts[path] = (mine, new)
        elif takes:
            _apply(found, path, mine, new)
            if mine:
                found.replaced.append(path)
        else:
            found.kept.append(path)
    return found


def _apply(found: Comparison, path: str, mine: str, new: str) -> None:
    if not new:
        found.removed.append(path)
    elif mine:
        found.changed.append(path)
    else:
        found.added.append(path)
