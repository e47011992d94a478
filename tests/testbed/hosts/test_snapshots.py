"""Snapshots as the periodic look sees them: read where they changed, else known."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.plan.model import Command
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain, domain_of
from orchestration.providers.libvirt.snapshots import listing, verbs
from orchestration.providers.libvirt.snapshots.text import Label
from orchestration.state.model import State
from testbed.hosts.observation import observe_all
from testbed.models import ObservedSnapshots, Testbed
from tests.testbed.hosts.host_changes import ran, silence, start, stop

Place = tuple[Connection, GuestDomain]


@pytest.fixture(name="web")
def _web(kept: Hosts, state: State) -> Place:
    """Guest `web`, which runs on main and has a snapshot."""
    start(kept, state, "web")
    guest = state.guest("web")
    conn = kept.open(state.host(guest.host)).libvirt
    domain = domain_of(state.testbed, guest)
    verbs.create(conn, domain, "base", "first", Label("olive"))
    return conn, domain


@pytest.fixture(name="reads")
def _reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The domains whose snapshots were read whole."""
    found: list[str] = []
    read = listing.snapshots_of

    def noted(domain):
        found.append(domain.name())
        return read(domain)

    monkeypatch.setattr(listing, "snapshots_of", noted)
    return found


def names() -> dict[str, list[str]]:
    rows = ObservedSnapshots.objects.all()
    return {row.name: [one.title for one in row.read()] for row in rows}


def test_snapshots_are_seen_and_read_once(
    web: Place, kept: Hosts, reads: list[str]
) -> None:
    observe_all(kept)
    first = ObservedSnapshots.objects.get()
    observe_all(kept)

    second = ObservedSnapshots.objects.get()
    (base,) = second.read()
    assert (base.name, base.description, base.label.by) == ("base", "first", "olive")
    assert base.is_current
    assert (second.name, second.host) == ("web", "main")
    assert len(reads) == 1
    assert second.read_at == first.read_at
    assert second.observed_at > first.observed_at


def test_new_snapshot_and_another_current_one_are_read(
    web: Place, kept: Hosts, reads: list[str]
) -> None:
    observe_all(kept)
    verbs.create(*web, "next", "", Label("olive"))
    observe_all(kept)
    verbs.restore(*web, "base")
    observe_all(kept)

    current = {one.name: one.is_current for one in row().read()}
    assert current == {"base": True, "next": False}
    assert len(reads) == 3


def test_run_on_snapshots_is_followed_by_a_reading(
    web: Place, kept: Hosts, testbed: Testbed, owner: User
) -> None:
    observe_all(kept)
    verbs.retitle(*web, "base", "Renamed")
    observe_all(kept)
    assert names() == {"web": ["base"]}
    run = ran(testbed, owner, Command.SNAPSHOT, "succeeded")
    run.ended_at = timezone.now()
    run.save()

    observe_all(kept)

    assert names() == {"web": ["Renamed"]}


def test_change_by_another_program_is_read_after_minutes(
    web: Place, kept: Hosts
) -> None:
    observe_all(kept)
    verbs.retitle(*web, "base", "Renamed")
    ObservedSnapshots.objects.update(read_at=timezone.now() - timedelta(minutes=6))

    observe_all(kept)

    assert names() == {"web": ["Renamed"]}


def test_guest_without_snapshots_has_no_row(web: Place, kept: Hosts) -> None:
    observe_all(kept)
    verbs.delete(*web, "base")
    observe_all(kept)

    assert names() == {}


def test_guest_that_is_gone_loses_its_row(
    web: Place, kept: Hosts, state: State
) -> None:
    observe_all(kept)
    stop(kept, state, "web")
    observe_all(kept)

    assert names() == {}


def test_silent_host_keeps_its_rows(web: Place, kept: Hosts, settings: object) -> None:
    observe_all(kept)
    silence(kept, settings, "main")
    observe_all(kept)

    assert names() == {"web": ["base"]}


def row() -> ObservedSnapshots:
    return ObservedSnapshots.objects.get()
