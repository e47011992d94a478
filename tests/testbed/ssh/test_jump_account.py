"""Which key may reach which guests through which host, and its way to the hosts."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.contrib.auth.models import User

from orchestration.errors import CommandFailed
from orchestration.hosts import Hosts
from orchestration.providers.linux import jump_account as account
from orchestration.transport.base import Scope
from testbed.models import Host, Testbed, UserKey
from testbed.ssh import jump_account
from testbed.ssh.jump_account import Jump, allowed_on_hosts, push_jump_keys
from testbed.ssh.keys import add_key, remove_key


def address(testbed: Testbed, guest: str) -> str:
    found = testbed.project.read_state().guest(guest).management
    assert found is not None
    return found.address


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


@pytest.fixture
def _account(up: Testbed) -> None:
    jump_account._known.clear()
    Host.objects.filter(name="host-b").update(
        jump=Jump(is_there=True, works=True).model_dump()
    )


def test_key_reaches_its_users_guests_through_their_host(up: Testbed, key: UserKey):
    found = allowed_on_hosts()

    line = f"{key.kind} {key.blob}"
    assert found["host-b"] == {line: frozenset({address(up, "db")})}
    assert found["main"] == {line: frozenset({address(up, "web")})}


def test_stranger_and_user_who_may_not_sign_in_reach_nothing(
    up: Testbed, key: UserKey, owner: User, stranger: User
):
    add_key(stranger, "x", f"{key.kind} {key.blob}")
    assert len(allowed_on_hosts()) == 2

    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert allowed_on_hosts() == {}


@pytest.mark.usefixtures("_account")
def test_keys_come_to_hosts_with_the_account_and_leave(
    up: Testbed, key: UserKey, kept: Hosts
):
    push_jump_keys(kept)
    assert address(up, "db").encode() in written(kept, "host-b")
    assert written(kept, "main") == b""

    remove_key(key)
    push_jump_keys(kept)

    assert written(kept, "host-b") == b""


@pytest.mark.usefixtures("_account")
def test_keys_are_renewed_where_the_account_has_a_fault(
    up: Testbed, key: UserKey, kept: Hosts
):
    push_jump_keys(kept)
    Host.objects.filter(name="host-b").update(
        jump=Jump(is_there=True, works=False).model_dump()
    )
    remove_key(key)

    push_jump_keys(kept)

    assert written(kept, "host-b") == b""


@pytest.mark.usefixtures("_account")
def test_deleted_testbed_is_reached_no_more(up: Testbed, key: UserKey):
    Testbed.objects.all().delete()

    assert allowed_on_hosts() == {}


@pytest.mark.usefixtures("_account")
def test_testbed_that_is_down_is_reached_no_more(up: Testbed, key: UserKey):
    assert len(allowed_on_hosts()) == 2

    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    assert allowed_on_hosts() == {}
