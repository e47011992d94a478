"""The load of guests, from what two looks counted."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import isnan

import pytest
from django.utils import timezone

from orchestration.hosts import Hosts
from orchestration.inventory.things import Inventory
from orchestration.providers.libvirt.facts.domains import DomainFacts, DomainStatus
from orchestration.providers.linux.ip_link import Link
from orchestration.state.model import State
from testbed.hosts.guests import GuestsOfHost, save_guests
from testbed.hosts.observation import observe_all
from testbed.models import Sample, Testbed
from testbed.samples.figures import GuestFigures, record_at
from tests.testbed.hosts.host_changes import start, stop

WEB = DomainFacts(
    name="t7-web",
    uuid="",
    status=DomainStatus.RUNNING,
    reason="",
    testbed="lab",
    guest="web",
    spec_hash="",
    cpu_time_ns=1_000_000_000,
    vcpus=2,
    memory_mib=256,
    used_memory_mib=100,
    disk_read_bytes=1000,
    disk_written_bytes=2000,
)
LATER = replace(
    WEB,
    cpu_time_ns=11_000_000_000,
    disk_read_bytes=11_000,
    disk_written_bytes=2000,
)


@pytest.fixture
def taps(state: State) -> list[str]:
    """The devices of guest `web` on its host."""
    web = state.guest("web")
    return [one.tap for one in web.interfaces] + [web.management.tap]


def look(domain: DomainFacts, at: datetime, *links: Link) -> GuestFigures:
    """Save one look at main, and return the figures of `web`."""
    inventory = Inventory(domains=(domain,), links={link.name: link for link in links})
    (figures,) = save_guests([GuestsOfHost("main", inventory, at)]).values()
    return figures["web"]


def carried(taps: list[str], received: int, sent: int) -> list[Link]:
    return [
        Link(tap, True, "", "", received_bytes=received, sent_bytes=sent)
        for tap in taps
    ]


def test_load_is_the_difference_of_two_looks(testbed: Testbed, taps: list[str]) -> None:
    now = timezone.now()

    first = look(WEB, now, *carried(taps, 0, 500))
    second = look(LATER, now + timedelta(seconds=10), *carried(taps, 100, 2500))

    assert all(map(isnan, (first.cpu_percent, *first[2:])))
    assert first.memory_bytes == 100 << 20
    assert second.cpu_percent == 50.0  # one of its two
    assert second[2:4] == (1000.0, 0.0)
    # All its taps together; it receives what they send.
    assert second[4:] == (200.0 * len(taps), 10.0 * len(taps))
    row = testbed.observed_guests.get()
    assert (row.cpu_percent, row.disk_read_bytes) == (50.0, 11_000)
    assert (row.received_bytes, row.sent_bytes) == (2500 * len(taps), 100 * len(taps))


def test_guest_that_started_anew_has_no_load_of_that_time(
    testbed: Testbed, taps: list[str]
) -> None:
    now = timezone.now()
    look(LATER, now, *carried(taps, 100, 2500))

    again = look(WEB, now + timedelta(seconds=10), *carried(taps, 0, 500))

    assert isnan(again.cpu_percent)
    assert isnan(again.disk_read_bytes_per_s)
    assert isnan(again.received_bytes_per_s)
    assert testbed.observed_guests.get().cpu_percent == 0.0


def test_clock_that_was_set_back_gives_no_load(
    testbed: Testbed, taps: list[str]
) -> None:
    now = timezone.now()
    look(WEB, now, *carried(taps, 0, 0))

    again = look(LATER, now - timedelta(hours=1), *carried(taps, 9, 9))

    assert all(map(isnan, (again.cpu_percent, *again[2:])))


def test_guest_without_a_known_tap_has_no_network_load(
    testbed: Testbed, taps: list[str]
) -> None:
    now = timezone.now()
    look(WEB, now)

    again = look(LATER, now + timedelta(seconds=10))

    assert isnan(again.received_bytes_per_s)
    assert again.disk_read_bytes_per_s == 1000.0
    assert testbed.observed_guests.get().received_bytes is None


def test_look_leaves_a_sample_of_each_active_guest(
    testbed: Testbed, kept: Hosts, state: State
) -> None:
    start(kept, state, "web")
    start(kept, state, "db")
    observe_all(kept)
    stop(kept, state, "db", undefine=False)

    observe_all(kept)

    first, second = Sample.objects.filter(testbed=testbed).order_by("taken_at")
    assert (first.names.split("\n"), second.names) == (["web", "db"], "web")
    record = GuestFigures(*record_at(second.figures, 0, len(GuestFigures._fields)))
    assert record.memory_bytes == 256 << 20
    assert record.cpu_percent > 0  # the test driver counts its uptime


def test_interfaces_keep_their_own_counts_as_the_guest_sees_them(
    testbed: Testbed, taps: list[str]
) -> None:
    first = Link(
        taps[0],
        True,
        "",
        "",
        index=7,
        received_bytes=10,
        sent_bytes=20,
        received_packets=1,
        sent_packets=2,
        received_dropped=3,
        sent_dropped=4,
    )

    look(WEB, timezone.now(), first, Link("other", True, "", "", sent_bytes=9))

    assert testbed.observed_guests.get().interfaces == {
        taps[0]: {
            "index": 7,
            "received": {"bytes": 20, "packets": 2, "dropped": 4},
            "sent": {"bytes": 10, "packets": 1, "dropped": 3},
        }
    }


def test_rate_of_an_interface_is_the_growth_of_its_counts(
    testbed: Testbed, taps: list[str]
) -> None:
    now = timezone.now()
    look(WEB, now, *carried(taps, 0, 500))

    busy, quiet = carried(taps[:2], 100, 2500)
    look(WEB, now + timedelta(seconds=10), busy, replace(quiet, sent_bytes=500))

    found = testbed.observed_guests.get().interfaces
    # It receives what its tap sends.
    assert found[taps[0]]["rate"] == {"received": 200.0, "sent": 10.0, "over_s": 10.0}
    assert found[taps[1]]["rate"] == {"received": 0.0, "sent": 10.0, "over_s": 10.0}


@pytest.mark.parametrize(
    ("change", "after_s"),
    [
        ({"sent_bytes": 499}, 10),  # it started anew
        ({"received_bytes": 99}, 10),
        ({"sent_bytes": 9999, "index": 9}, 10),  # and carried more than before
        ({}, 0),
        ({}, -10),  # the clock was set back
    ],
)
def test_rate_of_an_interface_is_unknown_where_counts_began_anew(
    testbed: Testbed, taps: list[str], change: dict[str, int], after_s: int
) -> None:
    now = timezone.now()
    tap = replace(*carried(taps[:1], 100, 500), index=7)
    look(WEB, now, tap)

    look(WEB, now + timedelta(seconds=after_s), replace(tap, **change))

    assert "rate" not in testbed.observed_guests.get().interfaces[taps[0]]


def test_rate_is_unknown_after_a_look_of_another_host_or_version(
    testbed: Testbed, taps: list[str]
) -> None:
    now, links = timezone.now(), carried(taps[:1], 100, 500)
    look(WEB, now, *links)
    rows = testbed.observed_guests
    for change in ({"host": "host-b"}, {"interfaces": {}}):
        rows.update(**change)

        look(WEB, now := now + timedelta(seconds=10), *links)

        assert "rate" not in rows.get().interfaces[taps[0]]
