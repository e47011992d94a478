"""Which key may reach which guests through which host."""

from django.contrib.auth.models import User

from testbed.models import Testbed, UserKey
from testbed.ssh import jump_account
from testbed.ssh.jump_account import allowed_on_hosts
from testbed.ssh.keys import add_key
from tests.testbed.ssh.conftest import address


def test_key_reaches_its_users_guests_through_their_host(up: Testbed, key: UserKey):
    found = allowed_on_hosts()

    line = f"{key.kind} {key.blob}"
    assert found["host-b"].keys == {line: frozenset({address(up, "db")})}
    assert found["main"].keys == {line: frozenset({address(up, "web")})}
    assert found["main"].numbers == {up.pk: up.number}


def test_stranger_and_user_who_may_not_sign_in_reach_nothing(
    up: Testbed, key: UserKey, owner: User, stranger: User
):
    add_key(stranger, "x", f"{key.kind} {key.blob}")
    assert len(allowed_on_hosts()) == 2

    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert allowed_on_hosts() == {}


def test_deleted_testbed_is_reached_no_more_and_forgotten(up: Testbed, key: UserKey):
    allowed_on_hosts()
    assert up.pk in jump_account._known

    Testbed.objects.all().delete()

    assert allowed_on_hosts() == {}
    assert up.pk not in jump_account._known


def test_testbed_that_is_down_is_reached_no_more(up: Testbed, key: UserKey):
    assert len(allowed_on_hosts()) == 2

    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    assert allowed_on_hosts() == {}
