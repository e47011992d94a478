"""Three lists of digests → what to send, and what both sides edited. Pure.

`base` is what both sides had last. A file that differs from it here alone is sent, one
that differs on the server is a conflict, which only the user can decide: the server's
copy is never overwritten, and no run uses another file than the user sees.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sending:
    """A file with its digest, and that of the one that it replaces; empty: none."""

    path: str
    seen: str
    digest: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A file that the server has otherwise than the folder had it last."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The work of one synchronisation; `same` are the digests that both sides have.

    `gone` are the files that neither side has any more.
    """

    send: tuple[Sending, ...]
    remove: tuple[str, ...]
    conflicts: tuple[Conflict, ...]
    same: Digests
    gone: tuple[str, ...] = ()

    @property
    def changes(self) -> list[str]:
        """The paths that differ, whichever side has to follow."""
        return sorted(
            [one.path for one in self.send]
            + list(self.remove)
            + [one.path for one in self.conflicts]
        )


def decide(
    local: Digests, remote: Digests, base: Digests, *, forced: Iterable[str] = ()
) -> Decision:
    """Compare the folder, the server and the last synchronisation.

    The folder's copy of a `forced` path is sent, although the server's was edited. A
    file that only the server ever had is left alone.
    """
    chosen = frozenset(forced)
    send, remove, conflicts, same = [], [], [], {}
    for path in sorted(local.keys() | remote.keys()):
        here, there, before = local.get(path), remote.get(path), base.get(path)
        if here == there and here is not None:
            same[path] = here
        elif there == before or path in chosen:
            if here is not None:
                send.append(Sending(path, there or "", here))
            elif before is not None or path in chosen:
                remove.append(path)
        elif here is not None or before is not None:
            conflicts.append(Conflict(path, _reason(here, there, before)))
    gone = sorted(base.keys() - local.keys() - remote.keys())
    return Decision(tuple(send), tuple(remove), tuple(conflicts), same, tuple(gone))


def _reason(here: str | None, there: str | None, before: str | None) -> str:
    """Return how the two sides differ, in words."""
    if there is None:
        return "deleted on the server" + ("" if here == before else ", edited here")
    if before is None:
        return "another file of this name is on the server"
    if here is None:
        return "edited on the server, deleted here"
    return "edited on the server" + ("" if here == before else " and here")
