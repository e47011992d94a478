"""The hosts' jump accounts, visited by a periodic task: keys written, connections ended.

sshd reads at login what a key leads to, and an open connection keeps it. So a
connection is ended after a day, and at once where it is connected to an address that no
key leads to any more. Until the older ones have ended, `JumpReach` holds the numbers of
testbeds that they may reach, and no new testbed gets such a number with its addresses.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings

from orchestration.errors import Cancelled, TestbedError
from orchestration.hosts import Hosts
from orchestration.providers.linux import jump_account, jump_sessions
from orchestration.providers.linux.jump_sessions import Session, Sessions
from orchestration.transport.base import Scope
from testbed.models import Host, JumpReach, Testbed
from testbed.ssh.jump_account import ACCOUNT, Allowed, Jump, allowed_on_hosts
from testbed.worker import ASKED_AT_ONCE

logger = logging.getLogger(__name__)
# On one host. A connection takes a few MiB there.
MOST_SESSIONS = 500
# For one host; the others do not wait for it, but the guests' keys do.
HOST_S = 20.0


@dataclass(frozen=True, slots=True)
class Visit:
    """One host with what its keys lead to, and what its connections may reach."""

    host: Host
    allowed: Allowed
    reach: JumpReach

    @property
    def is_known(self) -> bool:
        """Return whether no connection reaches more than `reach` says."""
        return bool(self.reach.boot) and self.reach.pools == _pools()


def visit_hosts(hosts: Hosts) -> None:
    """Bring the keys of all users to the hosts that have the account.

    Also where the host has a problem: its sshd may still let removed keys in.
    """
    rows = [r for r in Host.objects.all() if Jump.model_validate(r.jump).is_there]
    if not rows:
        return
    allowed = allowed_on_hosts()
    visits = [_announced(row, allowed.get(row.name, Allowed())) for row in rows]
    if not _are_there(allowed):
        return  # The next time is soon.
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        seen = pool.map(lambda visit: _attempt(visit, hosts), visits)
        for visit, sessions in zip(visits, seen, strict=True):
            if sessions is not None:
                _save(visit, sessions)


def settled(
    reach: JumpReach, allowed: Allowed, sessions: Sessions
) -> dict[str, int | None]:
    """Return the numbers that connections may reach, after a look at all of them.

    `sessions` were seen after the host had the keys for `allowed`.
    """
    is_same_clock = reach.boot == sessions.boot
    found: dict[str, int | None] = {}
    for number, left_at in reach.numbers.items():
        if int(number) in allowed.numbers.values():
            found[number] = None
        elif left_at is None:
            found[number] = sessions.now
        elif is_same_clock and left_at > sessions.oldest_login:
            found[number] = left_at
    return found


def _announced(row: Host, allowed: Allowed) -> Visit:
    """Save what the host's keys will lead to before they do."""
    reach = JumpReach.objects.filter(host=row).first() or JumpReach(host=row)
    numbers = reach.numbers | dict.fromkeys(map(str, allowed.numbers.values()))
    if numbers != reach.numbers:
        reach.numbers = numbers
        reach.save()
    return Visit(row, allowed, reach)


def _are_there(allowed: Mapping[str, Allowed]) -> bool:
    """Return whether no testbed was deleted before its number was saved."""
    wanted = {pk for of_host in allowed.values() for pk in of_host.numbers}
    return Testbed.objects.filter(pk__in=wanted).count() == len(wanted)


def _attempt(visit: Visit, hosts: Hosts) -> Sessions | None:
    """Visit a host; None: it is not known what is open there."""
    name = visit.host.name
    try:
        return _visit(visit, hosts)
    except Cancelled:
        logger.warning("%s of %s: no answer within %.0f s", ACCOUNT, name, HOST_S)
    except TestbedError as exc:
        logger.warning("%s of %s: %s", ACCOUNT, name, exc.sentence)
    except Exception:  # one host must not end the others' visits
        logger.exception("%s of %s", ACCOUNT, name)
    return None


def _visit(visit: Visit, hosts: Hosts) -> Sessions:
    name, scope = visit.host.name, Scope().limited(HOST_S)
    transport = hosts.open(visit.host.to_state()).transport
    content = jump_account.build_keys(visit.allowed.keys)
    if jump_account.ensure_keys(transport, content, scope=scope):
        logger.info("%s has new keys of %s", name, ACCOUNT)
    sessions = jump_sessions.look(transport, scope=scope)
    ended = _due(visit, sessions)
    if ended:
        jump_sessions.end(transport, ended, scope=scope)
        of_all = f"{len(ended)} of {len(sessions.all)}"
        logger.info("%s: %s connections of %s were ended", name, of_all, ACCOUNT)
    return sessions


def _due(visit: Visit, sessions: Sessions) -> frozenset[Session]:
    """Return the connections to end: all, where it is not known what they reach."""
    if not visit.is_known:
        return frozenset(sessions.all)
    return (
        sessions.older_than(JumpReach.SESSION_S)
        | sessions.beside(visit.allowed.addresses)
        | sessions.beyond(MOST_SESSIONS)
    )


def _save(visit: Visit, sessions: Sessions) -> None:
    reach = visit.reach
    before = (reach.pools, reach.boot, reach.numbers)
    after = (_pools(), sessions.boot, settled(reach, visit.allowed, sessions))
    if before != after:
        reach.pools, reach.boot, reach.numbers = after
        reach.save()


def _pools() -> str:
    """Return the ranges from which testbeds have their addresses by number."""
    pools = settings.ADDRESS_POOLS
    return f"{pools.nat} {pools.management}"
