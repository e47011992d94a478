"""Guests as they are seen: where, in which status, and with how much of a processor.

Only those of this installation count; one that is gone loses its row, and a look that
took long does not undo a newer one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import State
from testbed.hosts.observation import observe, observe_all
from testbed.models import Inventory, ObservedGuest, Testbed
from tests.orchestration.providers.libvirt.samples import define_text
from tests.testbed.hosts.host_changes import seen, start, stop

pytestmark = pytest.mark.database


def test_guests_are_seen_where_they_run(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")

    observe_all(kept)

    rows = testbed.observed_guests.values_list("name", "host", "status")
    assert set(rows) == {("web", "main", "running"), ("db", "host-b", "running")}
    web = testbed.observed_guests.get(name="web")
    assert web.memory_mib == 256
    assert web.cpu_time_ns > 0


def test_status_is_libvirts_word(testbed: Testbed, kept: Hosts, state: State) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    name = state.guest("db").domain
    conn = kept.open(state.host("host-b")).libvirt
    conn.call("pause", lambda h: h.lookupByName(name).suspend(), changes=True)
    stop(kept, state, "web", undefine=False)

    observe_all(kept)

    assert seen(testbed) == {"web": "shut off", "db": "paused"}


def test_guest_that_is_gone_loses_its_row(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    stop(kept, state, "web")

    observe_all(kept)

    assert seen(testbed) == {"db": "running"}


def test_look_that_took_long_does_not_undo_a_newer_one(
    testbed: Testbed, kept: Hosts, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    stop(kept, state, "web")
    stop(kept, state, "db")
    newer: list[datetime] = []

    @contextmanager
    def after_a_newer_one(path: Path, *, wait_s: float) -> Iterator[bool]:
        newer.append(timezone.now())
        Inventory.objects.filter(host__name="main").update(looked_at=newer[0])
        yield True

    module = import_module(observe_all.__module__)
    monkeypatch.setattr(module, "held_if_free", after_a_newer_one)
    observe_all(kept)

    assert seen(testbed) == {"web": "running"}
    assert Inventory.objects.get(host__name="main").looked_at == newer[0]


def test_clock_that_was_set_back_does_not_stop_the_looking(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    Inventory.objects.update(looked_at=timezone.now() + timedelta(hours=1))
    stop(kept, state, "web")

    observe_all(kept)

    assert seen(testbed) == {}


def test_domains_of_others_are_not_ours(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    guest, host = state.guest("web"), state.main
    xml = build_domain(guest, host, testbed="another-installation")
    define_text(kept.open(host).libvirt, xml)

    observe_all(kept)

    assert seen(testbed) == {}


def test_cpu_share_is_what_was_used_since_the_last_look(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    first = testbed.observed_guests.get()
    assert first.cpu_percent == 0.0

    # The test driver counts its uptime: as if half of that time had passed.
    past = timezone.now() - timedelta(seconds=10)
    ObservedGuest.objects.update(observed_at=past, cpu_time_ns=1)
    observe_all(kept)

    again = testbed.observed_guests.get()
    used_ns = again.cpu_time_ns - 1
    elapsed_ns = (again.observed_at - past).total_seconds() * 1e9
    assert again.cpu_percent == round(min(100.0, 100 * used_ns / elapsed_ns), 1)
    assert again.cpu_percent > 0


def test_restarted_guest_has_no_negative_share(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    ObservedGuest.objects.update(cpu_time_ns=2**62)

    observe_all(kept)

    assert testbed.observed_guests.get().cpu_percent == 0.0


def test_task_observes_with_the_workers_own_hosts(
    testbed: Testbed, kept: Hosts, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        import_module(observe_all.__module__), "kept_hosts", lambda: kept
    )
    start(kept, state, "web")

    observe()

    assert seen(testbed) == {"web": "running"}


def test_time_of_a_status_stays_until_the_status_changes(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    observe_all(kept)
    first = testbed.observed_guests.get().observed_since

    observe_all(kept)
    same = testbed.observed_guests.get()
    stop(kept, state, "web", undefine=False)
    observe_all(kept)

    other = testbed.observed_guests.get()
    assert same.observed_since == first < same.observed_at
    assert other.status == "shut off"
    assert other.observed_since == other.observed_at > first
