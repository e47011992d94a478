"""Adds up reservations over time. Pure: the reserved part at each moment, and gaps.

Made from rows by `bounds.py` and `fitting.py`, which refuse what does not fit, and by
the calendar.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.state.placement import Taken


@dataclass(frozen=True, slots=True)
class Claim:
    """An amount from one time until another, which is not included."""

    begins_at: datetime
    ends_at: datetime
    need: Taken


def spans(
    claims: Iterable[Claim], begins_at: datetime, ends_at: datetime
) -> list[Claim]:
    """Return the sums between two times, in order: one for each part without a change."""
    found = [
        claim
        for claim in claims
        if claim.begins_at < ends_at and claim.ends_at > begins_at
    ]
    changes: dict[datetime, list[int]] = {begins_at: [0, 0]}
    for claim in found:
        for at, sign in ((claim.begins_at, 1), (claim.ends_at, -1)):
            if at < ends_at:
                change = changes.setdefault(max(at, begins_at), [0, 0])
                change[0] += sign * claim.need.cpus
                change[1] += sign * claim.need.memory_mib
    moments, parts = sorted(changes), []
    total = Taken()
    for at, until in zip(moments, [*moments[1:], ends_at], strict=True):
        total += Taken(*changes[at])
        parts.append(Claim(at, until, total))
    return parts


def most(claims: Iterable[Claim], begins_at: datetime, ends_at: datetime) -> Taken:
    """Return the largest sum of each amount between two times."""
    parts = spans(claims, begins_at, ends_at)
    return Taken(
        max(part.need.cpus for part in parts),
        max(part.need.memory_mib for part in parts),
    )


def fits(wanted: Taken, claims: Iterable[Claim], place: Claim) -> bool:
    """Return whether an amount fits beside claims for all of a time.

    The need of `place` is the whole that there is.
    """
    used = most(claims, place.begins_at, place.ends_at) + wanted
    whole = place.need
    return used.cpus <= whole.cpus and used.memory_mib <= whole.memory_mib


def next_gap(
    wanted: Taken, claims: Collection[Claim], place: Claim, latest: datetime
) -> datetime | None:
    """Return the first begin at which an amount fits for as long; None until `latest`.

    Capacity grows only where a claim ends, so that these times are all there are.
    """
    length: timedelta = place.ends_at - place.begins_at
    ends = sorted({claim.ends_at for claim in claims})
    for at in ends:
        if place.begins_at < at <= latest:
            later = Claim(at, at + length, place.need)
            if fits(wanted, claims, later):
                return at
    return None
