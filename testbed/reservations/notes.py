"""Says what reservations mean for a testbed that is about to come up, or is up.

For the testbed's page, and for the log of the run when it begins. Other users'
reservations are told by host, time and amount alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime

from django.conf import settings

from orchestration.state.placement import Taken
from testbed.models import Expiry, Host, Testbed
from testbed.models.expiry import expiry_of
from testbed.reservations.held import (
    Claims,
    Held,
    Party,
    is_within,
    use_up,
)
from testbed.reservations.moments import in_words, period
from testbed.reservations.timeline import Claim, most
from testbed.reservations.wishes import amount, whole_of

MOST_NOTES = 3


def notes_on(
    testbed: Testbed,
    needs: Mapping[str, Taken],
    claims: Claims,
    hosts: Iterable[Host],
) -> list[str]:
    """Return which reservations guests use, and into which they would run.

    `needs` has what all guests of the testbed need, by host; `hosts` are all hosts.
    """
    found, owner, group = claims.on(needs), testbed.owner_id, testbed.charged_group_id
    if found.now is None:
        return []
    mine = [one for one in found.held if one.is_for(owner, group)]
    others = [one for one in found.held if not one.is_for(owner, group)]
    wholes = {host.name: whole_of(host) for host in hosts}
    said = [
        *_used(mine, found.now),
        *_run_into(testbed, needs, others, wholes, found.now),
    ]
    return said[: 2 * MOST_NOTES]


def others_on(
    testbed: Testbed, hosts: Collection[str], claims: Claims
) -> tuple[Held, ...]:
    """Return the reservations of others on hosts, in order of time."""
    owner, group = testbed.owner_id, testbed.charged_group_id
    found = claims.on(hosts).held
    others = (one for one in found if not one.is_for(owner, group))
    return tuple(sorted(others, key=lambda one: (one.begins_at, one.reservation)))


def notes_while_up(
    testbed: Testbed,
    others: Iterable[Held],
    rest: Mapping[str, Taken],
    parties: Iterable[Party],
    now: datetime,
) -> list[str]:
    """Return what the reservations of others mean for a testbed that is up.

    `others` are those on its hosts; `rest` is what all running guests leave of each host,
    `parties` are the testbeds of these guests. Those that begin after its end are left
    out.
    """
    end = _end_of(testbed, now)
    for party in parties:
        others = use_up(others, party.owner, party.group, party.used)
    others = [one for one in others if end is None or one.begins_at < end]
    return [_while_up(one, others, rest, now) for one in others[:MOST_NOTES]]


def _while_up(
    one: Held, others: Iterable[Held], rest: Mapping[str, Taken], now: datetime
) -> str:
    reserved = most(_claims_on(one.host, others), one.begins_at, one.ends_at)
    when = period(one.begins_at, one.ends_at)
    words = f"{one.host} is reserved from {when} for other users, {amount(one.need)}."
    if reserved == Taken() or is_within(reserved, rest.get(one.host, Taken())):
        return f"{words} As the host is used now, this testbed fits beside that."
    since = "now on" if one.begins_at <= now else "then on"
    return (
        f"{words} Its guests there go on. After a Down, from {since}, the next Up waits "
        f"until {in_words(one.ends_at)}, as the host is used now."
    )


def _claims_on(host: str, held: Iterable[Held]) -> list[Claim]:
    return [
        Claim(one.begins_at, one.ends_at, one.rest) for one in held if one.host == host
    ]


def _used(mine: Iterable[Held], now: datetime) -> Iterator[str]:
    current = [one for one in mine if one.begins_at <= now]
    for one in current[:MOST_NOTES]:
        yield (
            f"On {one.host} its guests count against reservation {one.reservation}, "
            f"{amount(one.rest)} until {in_words(one.ends_at)}."
        )


def _run_into(
    testbed: Testbed,
    needs: Mapping[str, Taken],
    others: list[Held],
    wholes: Mapping[str, Taken],
    now: datetime,
) -> Iterator[str]:
    """Yield the reservations of others beside which the guests would not fit.

    `wholes` have what each host may have.
    """
    coming = [one for one in others if one.begins_at > now]
    if not coming:
        return
    end, said = _end_of(testbed, now), 0
    for one in sorted(coming, key=lambda one: (one.begins_at, one.reservation)):
        if one.host not in wholes or (end is not None and one.begins_at >= end):
            continue
        reserved = most(_claims_on(one.host, others), one.begins_at, one.ends_at)
        if is_within(needs[one.host] + reserved, wholes[one.host]):
            continue
        yield (
            f"{one.host} is reserved from {period(one.begins_at, one.ends_at)} for "
            f"other users, {amount(one.rest)}. Guests that run then go on; stop them with "
            "Down before, to leave the capacity to them."
        )
        said += 1
        if said == MOST_NOTES:
            return


def _end_of(testbed: Testbed, now: datetime) -> datetime | None:
    """Return when a testbed that comes up now ends; None where it does not."""
    expiry = expiry_of(testbed)
    if expiry is not None and expiry.action == Expiry.Action.KEEP:
        return None
    if expiry is not None and expiry.ends_at is not None:
        return expiry.ends_at
    usual = settings.EXPIRY.usual
    return now + usual if usual else None
