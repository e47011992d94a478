"""The account on hosts through which users reach guests: looked at, and who may pass.

`manage.py check_hosts` looks at it, and sets it up when an admin asks for that. Each of
a user's keys leads to the guests that the user may use and that are up and reached from
that host. jump_visits.py brings the keys there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from orchestration.errors import StateError
from orchestration.hosts import Hosts
from orchestration.project.folder import Stamp
from orchestration.providers.linux import jump_account
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope
from testbed.access.permissions import LEAST, Act
from testbed.access.roles import users_of_each
from testbed.models import Host, JumpReach, Testbed, UserKey

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


@dataclass(frozen=True, slots=True)
class Allowed:
    """The guests' addresses by `type key` on one host; the testbeds' numbers by id."""

    keys: dict[str, frozenset[str]] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)

    @property
    def addresses(self) -> frozenset[str]:
        """All addresses that some key leads to."""
        return frozenset().union(*self.keys.values())


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
    if not found.is_there:
        # An account with connections is not removed: `userdel` refuses to.
        JumpReach.objects.filter(host=host).delete()
    return found.problem


def allowed_on_hosts() -> Mapping[str, Allowed]:
    """Return the guests that each key may reach from each host.

    A key that several users have may reach the guests of each: all of them let it in.
    Where a testbed is down, its addresses may lead to other machines.
    """
    keys: dict[int, set[str]] = {}
    for key in UserKey.objects.filter(user__is_active=True):
        keys.setdefault(key.user_id, set()).add(f"{key.kind} {key.blob}")
    found: dict[str, Allowed] = {}
    testbeds = list(Testbed.objects.filter(condition__in=Testbed.DEPLOYED))
    for gone in _known.keys() - {testbed.pk for testbed in testbeds}:
        del _known[gone]
    users = users_of_each(testbeds, LEAST[Act.SSH])
    for testbed in testbeds:
        lines = {line for user in users[testbed.pk] for line in keys.get(user, ())}
        if not lines:
            continue
        for host, addresses in _addresses(testbed).items():
            of_host = found.setdefault(host, Allowed())
            of_host.numbers[testbed.pk] = testbed.number
            for line in lines:
                before = of_host.keys.get(line, frozenset())
                of_host.keys[line] = before | addresses
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
