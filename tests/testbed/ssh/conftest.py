"""A testbed whose guests `web` and `db` run on two simulated hosts."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.project.keys import generate_key_pair
from testbed.models import Testbed, UserKey
from testbed.ssh import jump_account, pushes
from testbed.ssh.keys import add_key
from tests.testbed.conftest import Doors


@pytest.fixture
def up(generated: Testbed, doors: Doors) -> Iterator[Testbed]:
    Testbed.objects.filter(pk=generated.pk).update(condition=Testbed.Condition.UP)
    for name, host in (("web", "main"), ("db", "host-b")):
        observe(generated, name, host)
    for kept in (pushes._complete, jump_account._known):
        kept.clear()
    yield generated
    for kept in (pushes._complete, jump_account._known):
        kept.clear()


@pytest.fixture
def key(owner: User, doors: Doors) -> UserKey:
    return add_key(owner, "laptop", generate_key_pair("olive@laptop").public_line)


def observe(testbed: Testbed, name: str, host: str, status: str = "running") -> None:
    testbed.observed_guests.update_or_create(
        name=name,
        defaults={"host": host, "status": status, "observed_at": timezone.now()},
    )


def address(testbed: Testbed, guest: str) -> str:
    found = testbed.project.read_state().guest(guest).management
    assert found is not None
    return found.address
