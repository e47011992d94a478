"""The periodic visit of a host with the jump account, and the numbers that it keeps.

The hosts are simulated: they keep the keys that are written, and the connections that
a test lets them have.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.contrib.auth.models import User

from orchestration.compose.pools import Pools
from orchestration.errors import CommandFailed, NetworkFailed, StateError
from orchestration.hosts import Hosts
from orchestration.providers.linux import jump_account as account
from orchestration.providers.linux import jump_sessions
from orchestration.providers.linux.jump_sessions import LOGIN_TICKS, Session, Sessions
from orchestration.transport.base import Scope, Transport
from testbed.models import Host, JumpReach, Testbed, UserKey
from testbed.ssh import jump_visits
from testbed.ssh.jump_account import Jump
from testbed.ssh.jump_visits import visit_hosts
from testbed.ssh.keys import remove_key
from testbed.testbeds.files import create_testbed
from tests.testbed.ssh.conftest import address

HOUR = 3600 * 100
FILES = {"kvm-compose.yaml": b"machines: []\n"}


@dataclass
class Connected:
    """The connections of the host, its clock, and those that were ended."""

    now: int = 100 * HOUR
    boot: str = "first"
    open: tuple[Session, ...] = ()
    ended: set[Session] = field(default_factory=set)

    def look(self, transport: Transport, *, scope: Scope) -> Sessions:
        return Sessions(self.boot, self.now, self.open)

    def end(
        self, transport: Transport, ended: Iterable[Session], *, scope: Scope
    ) -> None:
        self.ended |= set(ended)
        self.open = tuple(one for one in self.open if one not in self.ended)


@pytest.fixture
def host(up: Testbed) -> Host:
    """Host-b with the account."""
    rows = Host.objects.filter(name="host-b")
    rows.update(jump=Jump(is_there=True, works=True).model_dump())
    return rows.get()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Connected:
    found = Connected()
    monkeypatch.setattr(jump_sessions, "look", found.look)
    monkeypatch.setattr(jump_sessions, "end", found.end)
    return found


@pytest.fixture
def visited(host: Host, key: UserKey, kept: Hosts, connected: Connected) -> Connected:
    """The host after a first visit, when nobody was connected."""
    visit_hosts(kept)
    return connected


def written(hosts: Hosts, name: str) -> bytes:
    """Return the keys that a simulated host keeps."""
    row = Host.objects.get(name=name)
    transport = hosts.open(row.to_state()).transport
    with TemporaryDirectory() as folder:
        target = Path(folder, "keys")
        try:
            transport.get(account.KEYS_FILE, target, scope=Scope())
        except CommandFailed:  # there is none
            return b""
        return target.read_bytes()


def numbers() -> set[int]:
    return JumpReach.objects.all_numbers()


def remove(testbed: Testbed) -> None:
    Testbed.objects.filter(pk=testbed.pk).delete()


def test_keys_come_to_hosts_with_the_account_and_leave(
    host: Host, up: Testbed, key: UserKey, kept: Hosts
):
    visit_hosts(kept)
    assert address(up, "db").encode() in written(kept, "host-b")
    assert written(kept, "main") == b""

    remove_key(key)
    visit_hosts(kept)

    assert written(kept, "host-b") == b""


def test_keys_are_renewed_where_the_account_has_a_fault(
    host: Host, up: Testbed, key: UserKey, kept: Hosts
):
    visit_hosts(kept)
    Host.objects.filter(name="host-b").update(
        jump=Jump(is_there=True, works=False).model_dump()
    )
    remove_key(key)

    visit_hosts(kept)

    assert written(kept, "host-b") == b""


def test_connection_is_ended_after_a_day_and_a_younger_one_goes_on(
    visited: Connected, kept: Hosts
):
    old, young = Session(1, 76 * HOUR), Session(2, 76 * HOUR + 1)
    visited.open = (old, young)

    visit_hosts(kept)

    assert visited.ended == {old}


def test_connection_to_a_testbed_that_went_down_is_ended_at_once(
    visited: Connected, up: Testbed, kept: Hosts
):
    inside = Session(1, 99 * HOUR, frozenset({address(up, "db")}))
    visited.open = (inside, Session(2, 99 * HOUR))
    visit_hosts(kept)
    assert visited.ended == set()

    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    visit_hosts(kept)

    assert visited.ended == {inside}


def test_connections_of_which_nothing_is_known_are_ended_once(
    host: Host, key: UserKey, kept: Hosts, connected: Connected
):
    unknown, known = Session(1, 99 * HOUR), Session(2, 100 * HOUR)
    connected.open = (unknown,)
    visit_hosts(kept)
    assert connected.ended == {unknown}

    connected.open = (known,)
    visit_hosts(kept)

    assert connected.ended == {unknown}


def test_other_address_pools_end_what_was_open(
    visited: Connected, kept: Hosts, settings: object
):
    visited.open = (Session(1, 99 * HOUR),)
    settings.ADDRESS_POOLS = Pools(management=IPv4Network("172.20.0.0/14"))

    visit_hosts(kept)

    assert visited.ended == {Session(1, 99 * HOUR)}


def test_number_rests_until_older_connections_have_ended(
    visited: Connected, up: Testbed, kept: Hosts, owner: User
):
    lasting = Session(1, 99 * HOUR)
    visited.open = (lasting,)
    remove(up)
    visit_hosts(kept)
    visited.now += 20 * HOUR
    visit_hosts(kept)
    assert numbers() == {7}
    for number in range(7):
        Testbed.objects.create(owner=owner, slug=f"t{number}", number=number)
    assert create_testbed(owner, "next", FILES).number == 8

    visited.open = ()
    visit_hosts(kept)

    assert numbers() == set()
    assert create_testbed(owner, "last", FILES).number == 7


def test_number_rests_while_a_login_may_still_have_read_the_old_keys(
    visited: Connected, up: Testbed, kept: Hosts
):
    remove(up)
    visit_hosts(kept)
    left_at = visited.now
    late, sure = left_at + LOGIN_TICKS - 1, left_at + LOGIN_TICKS

    visited.now, visited.open = left_at + HOUR, (Session(1, late),)
    visit_hosts(kept)
    assert numbers() == {7}
    visited.open = (Session(2, sure),)
    visit_hosts(kept)

    assert numbers() == set()


def test_number_rests_at_once_before_the_next_visit(visited: Connected, up: Testbed):
    remove(up)

    assert numbers() == {7}


def test_number_rests_while_its_host_does_not_answer(
    visited: Connected, up: Testbed, kept: Hosts, monkeypatch: pytest.MonkeyPatch
):
    def silent(*_: object, **__: object) -> Sessions:
        raise NetworkFailed("It does not say.")

    remove(up)
    visit_hosts(kept)
    visited.now += 100 * HOUR
    monkeypatch.setattr(jump_sessions, "look", silent)
    visit_hosts(kept)
    assert numbers() == {7}

    monkeypatch.setattr(jump_sessions, "look", visited.look)
    visit_hosts(kept)

    assert numbers() == set()


def test_boot_ends_all_connections(visited: Connected, up: Testbed, kept: Hosts):
    remove(up)
    visit_hosts(kept)

    visited.boot, visited.now = "second", 1000
    visit_hosts(kept)

    assert numbers() == set()


def test_testbed_that_is_up_again_does_not_rest(
    visited: Connected, up: Testbed, kept: Hosts
):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    visit_hosts(kept)
    Testbed.objects.update(condition=Testbed.Condition.UP)
    visited.now += 100 * HOUR

    visit_hosts(kept)

    assert JumpReach.objects.get().numbers == {"7": None}


def test_keys_lead_nowhere_before_the_number_is_saved(
    host: Host,
    up: Testbed,
    key: UserKey,
    kept: Hosts,
    connected: Connected,
    monkeypatch: pytest.MonkeyPatch,
):
    allowed = jump_visits.allowed_on_hosts

    def deleted_meanwhile() -> object:
        found = allowed()
        remove(up)
        return found

    monkeypatch.setattr(jump_visits, "allowed_on_hosts", deleted_meanwhile)
    visit_hosts(kept)

    assert written(kept, "host-b") == b""


def test_installation_where_all_free_numbers_rest_says_so(
    visited: Connected, up: Testbed, settings: object, owner: User
):
    settings.ADDRESS_POOLS = Pools(management=IPv4Network("172.20.0.0/17"))
    for number in range(7):
        Testbed.objects.create(owner=owner, slug=f"t{number}", number=number)
    remove(up)

    with pytest.raises(StateError, match="All 8 numbers of testbeds"):
        create_testbed(owner, "next", FILES)


def test_slow_host_does_not_keep_the_others_waiting(
    visited: Connected,
    up: Testbed,
    kept: Hosts,
    monkeypatch: pytest.MonkeyPatch,
):
    Host.objects.filter(name="main").update(
        jump=Jump(is_there=True, works=True).model_dump()
    )
    monkeypatch.setattr(jump_visits, "HOST_S", 1.0)
    begun: list[float] = []

    def look(transport: Transport, *, scope: Scope) -> Sessions:
        if transport.machine == "main":
            scope.sleep(60)
        begun.append(time.monotonic())
        return visited.look(transport, scope=scope)

    monkeypatch.setattr(jump_sessions, "look", look)
    before = time.monotonic()
    visit_hosts(kept)

    assert len(begun) == 1
    assert begun[0] - before < 1.0
