"""The account on hosts through which users reach guests: looked at, and given its keys.

`manage.py check_hosts` looks at it, and sets it up when an admin asks for that. The
periodic task `push_keys` writes its keys: each of a user's with the guests of the user's
testbeds that are up and reached from that host.
"""

import logging
from collections.abc import Mapping

from pydantic import BaseModel

from orchestration.errors import StateError, TestbedError
from orchestration.hosts import Hosts
from orchestration.project.folder import Stamp
from orchestration.providers.linux import jump_account
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope
from testbed.models import Host, Testbed, UserKey

logger = logging.getLogger(__name__)
ACCOUNT = jump_account.ACCOUNT
Addresses = dict[str, frozenset[str]]
# By testbed: its files' stamps, and the guests' addresses by host. A state of 1,000
# guests takes 60 ms to read.
_known: dict[int, tuple[tuple[Stamp, ...], Addresses]] = {}


class Jump(BaseModel):
    """Whether a host has the account, and it does what it should, as last looked at.

    Keys are kept up to date also where it does not: a removed one must not stay there.
    `host_key` is main's own: main is not reached over SSH, so its row has none pinned.
    """

    is_there: bool = False
    works: bool = False
    host_key: str = ""


def look_at_jump(host: Host, hosts: Hosts, *, sets_up: bool = False) -> str:
    """Look at a host's account and save whether it works; return what is wrong.

    `sets_up` makes it first, where it is missing or differs. Raises: TestbedError.
    """
    if host.kind != HostKind.REAL:
        return ""
    transport, scope = hosts.open(host.to_state()).transport, Scope()
    if sets_up:
        jump_account.set_up(transport, scope=scope)
    found = jump_account.look(transport, scope=scope)
    key = jump_account.host_key(transport, scope=scope) if host.is_main else ""
    jump = Jump(is_there=found.is_there, works=found.works, host_key=key)
    Host.objects.filter(pk=host.pk).update(jump=jump.model_dump())
    return found.problem


def push_jump_keys(hosts: Hosts) -> None:
    """Bring the keys of all users to the hosts that have the account.

    Also where the host has a problem: its sshd may still let removed keys in.
    """
    rows = [r for r in Host.objects.all() if Jump.model_validate(r.jump).is_there]
    if not rows:
        return
    allowed = allowed_on_hosts()
    for row in rows:
        content = jump_account.build_keys(allowed.get(row.name, {}))
        try:
            transport = hosts.open(row.to_state()).transport
            if jump_account.ensure_keys(transport, content, scope=Scope()):
                logger.info("%s has new keys of %s", row.name, ACCOUNT)
        except TestbedError as exc:
            logger.warning("keys of %s on %s: %s", ACCOUNT, row.name, exc.sentence)


def allowed_on_hosts() -> Mapping[str, Mapping[str, frozenset[str]]]:
    """Return the guests that each key may reach from each host, by address.

    A key that several users have may reach the guests of each: all of them let it in.
    Where a testbed is down, its addresses may lead to other machines.
    """
    keys: dict[int, set[str]] = {}
    for key in UserKey.objects.filter(user__is_active=True):
        keys.setdefault(key.user_id, set()).add(f"{key.kind} {key.blob}")
    found: dict[str, dict[str, frozenset[str]]] = {}
    deployed = Testbed.objects.filter(condition__in=Testbed.DEPLOYED)
    for testbed in deployed.filter(owner__in=list(keys)):
        for host, addresses in _addresses(testbed).items():
            of_host = found.setdefault(host, {})
            for line in keys[testbed.owner_id]:
                of_host[line] = of_host.get(line, frozenset()) | addresses
    return found


def _addresses(testbed: Testbed) -> Addresses:
    """Return the addresses of a testbed's guests by the host that reaches them."""
    stamps = testbed.project.stamps()
    known = _known.get(testbed.pk)
    if known is not None and known[0] == stamps:
        return known[1]
    found: dict[str, set[str]] = {}
    try:
        state = testbed.project.read_state()
    except StateError:
        return {}
    for guest in state.guests:
        way = state.way_to(guest)
        if guest.seed and way.address:
            found.setdefault(way.host, set()).add(way.address)
    addresses = {host: frozenset(them) for host, them in found.items()}
    _known[testbed.pk] = stamps, addresses
    return addresses
