"""Parts of a testbed that is up which the hosts do not show, and the inventory.

A bridge that is gone makes its testbed partial and is named until it is back; a silent
host keeps what was missed on it.
"""

from ipaddress import IPv4Network
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User

from orchestration.errors import CommandFailed
from orchestration.hosts import Hosts
from orchestration.plan.model import Command
from orchestration.state.model import State
from orchestration.transport.base import Scope, command
from testbed.hosts.observation import observe_all
from testbed.models import Host, Inventory, Run, Testbed
from tests.orchestration.providers.libvirt.samples import define_text
from tests.testbed.deployment import obey, on
from tests.testbed.hosts.host_changes import (
    Condition,
    condition,
    faults,
    is_now,
    ran,
    silence,
    stop,
)


def texts(testbed: Testbed) -> list[str]:
    return [part.text for part in testbed.missing_parts.all()]


def firewall_of(kept: Hosts, host: str) -> str:
    transport = kept.open(Host.objects.get(name=host).to_state()).transport
    listed = command("nft", "--stateless", "list", "table", "inet", "testbed")
    return transport.run(listed, scope=Scope(), check=False).stdout


@pytest.fixture
def is_up(testbed: Testbed, kept: Hosts, state: State, owner: User) -> Testbed:
    """The testbed, up on both hosts and seen to be."""
    ran(testbed, owner, Command.UP, Run.Status.SUCCEEDED)
    is_now(testbed, Condition.UP)
    obey(testbed, kept, Command.UP)
    observe_all(kept)
    return testbed


def test_bridge_that_is_gone_makes_the_testbed_partial_until_it_is_back(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])

    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")
    observe_all(kept)
    assert condition(is_up) == Condition.PARTIAL
    assert texts(is_up) == ["bridge lan is gone on main"]

    obey(is_up, kept, Command.UP)
    observe_all(kept)
    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])


def test_foreign_machine_in_the_place_of_a_guest_is_named_and_not_shown_as_it(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    web = state.guest("web")
    stop(kept, state, "web")
    plain = f"<domain type='test'><name>{web.domain}</name><memory>1024</memory>"
    plain += "<os><type>hvm</type></os></domain>"
    define_text(kept.open(state.main).libvirt, plain)

    observe_all(kept)

    assert condition(is_up) == Condition.PARTIAL
    assert texts(is_up) == [
        f"a machine named {web.domain} that is not this testbed's is on main"
    ]
    assert not is_up.observed_guests.filter(name="web").exists()


def test_firewall_that_is_gone_makes_the_testbed_partial_until_it_is_back(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    on(kept, state, "host-b", "nft delete table inet testbed")
    observe_all(kept)
    assert condition(is_up) == Condition.PARTIAL
    assert texts(is_up) == ["firewall of host-b is gone"]

    obey(is_up, kept, Command.UP)
    observe_all(kept)
    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])


def test_host_that_is_added_changes_no_testbed_and_is_kept_from_guests_at_once(
    is_up: Testbed, kept: Hosts
) -> None:
    Host.objects.create(name="host-c", kind="simulated", address="192.0.2.77")

    observe_all(kept)

    assert (condition(is_up), texts(is_up)) == (Condition.UP, [])
    assert "192.0.2.77" in firewall_of(kept, "main")
    assert "192.0.2.77" in firewall_of(kept, "host-b")
    assert firewall_of(kept, "host-c") == ""


def test_firewall_follows_the_settings_of_today(
    is_up: Testbed, kept: Hosts, settings: LazySettings
) -> None:
    settings.ALLOWED_NETWORKS = (IPv4Network("192.168.7.0/24"),)

    observe_all(kept)

    assert texts(is_up) == []
    assert "192.168.7.0/24" in firewall_of(kept, "host-b")


def test_slow_look_puts_no_older_firewall_back(
    is_up: Testbed,
    kept: Hosts,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport = kept.open(Host.objects.get(name="host-b").to_state()).transport
    run, is_first = transport.run, iter([True])

    def slowly(*words: Any, **how: Any) -> object:
        if next(is_first, False):
            settings.ALLOWED_NETWORKS = (IPv4Network("192.168.7.0/24"),)
        return run(*words, **how)

    monkeypatch.setattr(transport, "run", slowly)

    observe_all(kept)

    assert "192.168.7.0/24" in firewall_of(kept, "host-b")


def test_unexpected_error_of_a_firewall_makes_no_host_silent(
    is_up: Testbed,
    kept: Hosts,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.ALLOWED_NETWORKS = (IPv4Network("192.168.7.0/24"),)
    transport = kept.open(Host.objects.get(name="host-b").to_state()).transport
    run = transport.run

    def broken(asked: Any, **how: Any) -> object:
        if asked.argv[:2] == ("nft", "-f"):
            raise RuntimeError("a fault of this program")
        return run(asked, **how)

    monkeypatch.setattr(transport, "run", broken)

    observe_all(kept)

    assert not Host.objects.get(name="host-b").problem
    assert texts(is_up) == ["firewall of host-b follows older settings"]


def test_firewall_that_cannot_be_renewed_is_named(
    is_up: Testbed, kept: Hosts, settings: LazySettings
) -> None:
    settings.ALLOWED_NETWORKS = (IPv4Network("192.168.7.0/24"),)
    faults(settings, "host-b", {"nft -f": {"exit_code": 1}})

    observe_all(kept)

    assert texts(is_up) == ["firewall of host-b follows older settings"]
    assert condition(is_up) == Condition.PARTIAL


def test_firewall_that_another_program_changed_is_left_to_up(
    is_up: Testbed, kept: Hosts, state: State, settings: LazySettings
) -> None:
    on(kept, state, "host-b", "nft add chain inet testbed more")
    settings.ALLOWED_NETWORKS = (IPv4Network("192.168.7.0/24"),)

    observe_all(kept)

    assert texts(is_up) == ["firewall of host-b was changed by another program"]
    assert "192.168.7.0/24" not in firewall_of(kept, "host-b")


def test_firewall_that_an_administrator_switched_off_is_not_missed(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    Host.objects.filter(name="host-b").update(has_firewall=False)
    on(kept, state, "host-b", "nft delete table inet testbed")

    observe_all(kept)
    obey(is_up, kept, Command.UP)
    observe_all(kept)

    assert texts(is_up) == []
    listed = "nft list table inet testbed"
    with pytest.raises(CommandFailed):
        on(kept, state, "host-b", listed)


def test_silent_host_keeps_what_was_missed_on_it(
    is_up: Testbed, kept: Hosts, state: State, settings: object
) -> None:
    on(kept, state, "host-b", "ovs-vsctl -- del-br t7-far")
    observe_all(kept)
    silence(kept, settings, "host-b")
    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")

    observe_all(kept)

    assert sorted(texts(is_up)) == [
        "bridge far is gone on host-b",
        "bridge lan is gone on main",
    ]


def test_testbed_that_is_taken_down_misses_nothing(
    is_up: Testbed, kept: Hosts, state: State, owner: User
) -> None:
    on(kept, state, "main", "ovs-vsctl -- del-br t7-lan")
    observe_all(kept)
    obey(is_up, kept, Command.DOWN)
    ran(is_up, owner, Command.DOWN, Run.Status.SUCCEEDED)
    is_now(is_up, Condition.DOWN)

    observe_all(kept)

    assert texts(is_up) == []
    assert condition(is_up) == Condition.DOWN


def test_inventory_of_each_host_is_kept_and_the_time_of_the_look(
    is_up: Testbed, kept: Hosts, state: State
) -> None:
    first = Inventory.objects.get(host__name="host-b")

    observe_all(kept)

    again = Inventory.objects.get(host__name="host-b")
    assert {thing["kind"] for thing in again.things} == {
        "domain",
        "bridge",
        "port",
        "network",
        "folder",
    }
    assert again.looked_at > first.looked_at
