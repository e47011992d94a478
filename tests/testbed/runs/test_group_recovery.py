"""The sweeper puts right what a lost worker left of a group snapshot."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.plan.model import Command, Options
from orchestration.project import groups
from orchestration.project.groups import Journal
from orchestration.providers.libvirt import domains, power
from orchestration.providers.libvirt.ownership import domain_of
from orchestration.providers.libvirt.snapshots import verbs
from orchestration.providers.libvirt.snapshots.text import Label
from testbed import worker
from testbed.models import Run, Testbed
from testbed.runs import sweeper
from tests.testbed.conftest import Doors
from tests.testbed.hosts.host_changes import ran, start
from tests.testbed.preparing import prepare


@pytest.fixture(name="lost")
def _lost(
    testbed: Testbed,
    doors: Doors,
    kept: Hosts,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
) -> Testbed:
    """Guest `web` stands still, and has the half of a group snapshot."""
    monkeypatch.setattr(worker, "kept_hosts", lambda: kept)
    state = prepare(testbed, Command.UP, Options())[0]
    start(kept, state, "web")
    guest = state.guest("web")
    conn, domain = kept.open(state.host("main")).libvirt, domain_of("lab", guest)
    power.pause(conn, domain)
    verbs.create(conn, domain, "half", "", Label("olive", group=2))
    found = Journal(unfinished="half", guests=("web", "db"), paused=("web",))
    groups.write_journal(testbed.project, found)
    ran(testbed, owner, Command.SNAPSHOT, "interrupted")
    return testbed


def web(lost: Testbed, kept: Hosts) -> tuple[str, int]:
    """Return the status of guest `web`, and the number of its snapshots."""
    state = lost.project.read_state()
    conn = kept.open(state.host("main")).libvirt
    domain = domain_of("lab", state.guest("web"))
    found, situation = domains.find(conn, domain), verbs.look(conn, domain)
    assert found is not None
    assert situation is not None
    return found.status, len(situation.snapshots)


def test_paused_guest_runs_and_the_half_is_deleted(lost: Testbed, kept: Hosts):
    assert web(lost, kept) == ("paused", 1)

    assert sweeper.put_groups_right() == 1

    assert web(lost, kept) == ("running", 0)
    assert sweeper.put_groups_right() == 0


def test_host_that_was_away_for_days_is_put_right(lost: Testbed, kept: Hosts):
    Run.objects.update(created_at=timezone.now() - timedelta(days=9))

    assert sweeper.put_groups_right() == 1

    assert web(lost, kept) == ("running", 0)


def test_worker_that_lives_is_left_alone(lost: Testbed, kept: Hosts):
    with groups.in_work(lost.project) as is_held:
        assert is_held
        assert sweeper.put_groups_right() == 0

    assert web(lost, kept) == ("paused", 1)
