"""Chooses which waiting batches may go to the workers now. Pure.

Places are shared by users, then by runs: the one with the fewest places is next, and
some places are kept free for users who have none, so that a large run does not stop
another user's small one. `admission` reads the rows and sends the chosen batches.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Places:
    """How many batches may be at work: of all users, and of one user."""

    total: int
    per_user: int

    @classmethod
    def of_workers(cls, processes: int) -> "Places":
        """Keep some processes for the sweeper, some places for users without one."""
        total = max(1, processes - max(1, processes // 6))
        return cls(total, max(1, total - max(1, total // 4)))


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch, with its run and its user."""

    batch: int
    run: int
    user: int


def choose(
    working: Iterable[Claim], waiting: Sequence[Claim], places: Places
) -> list[Claim]:
    """Return the waiting batches that may go, in order; `waiting` is oldest first."""
    users: Counter[int] = Counter()
    runs: Counter[int] = Counter()
    for claim in working:
        users[claim.user] += 1
        runs[claim.run] += 1
    left, chosen = list(waiting), []
    while left and users.total() < places.total:
        allowed = [c for c in left if users[c.user] < places.per_user]
        if not allowed:
            break
        one = min(allowed, key=lambda claim: (users[claim.user], runs[claim.run]))
        users[one.user] += 1
        runs[one.run] += 1
        left.remove(one)
        chosen.append(one)
    return chosen
