"""Adding and checking hosts: the row says what the host showed, or why it did not."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from django.utils import timezone

from orchestration.compose.pools import Pools
from orchestration.errors import HostUnreachable
from orchestration.hosts import HostFacts, Hosts
from orchestration.state.model import (
    Claim,
    ClaimKind,
    Datapath,
    DomainType,
    HostNetwork,
)
from testbed.hosts import checks as services
from testbed.hosts.checks import add_host, check_host, has_old_network
from testbed.models import Host

REMARK = "libvirt's user may not open /dev/kvm."
HINT = "Run there: chgrp kvm /dev/kvm"
FACTS = HostFacts(
    cpus=4,
    memory_mib=8000,
    free_memory_mib=6000,
    load=0.5,
    domain_type=DomainType.KVM,
    datapath=Datapath.NETDEV,
    switch_version="3.1.0",
)


@pytest.fixture
def runtime(db: None, settings: object, tmp_path: Path) -> Path:
    settings.RUNTIME_DIR = tmp_path
    return tmp_path / "simulated"


@pytest.fixture
def kept(runtime: Path) -> Iterator[Hosts]:
    hosts = Hosts(runtime.parent)
    yield hosts
    hosts.close()


def silence(runtime: Path, host: str) -> None:
    runtime.mkdir(parents=True, exist_ok=True)
    faults = json.dumps({"": {"unreachable": True}})
    (runtime / f"{host}.faults.json").write_text(faults)


def test_new_host_is_saved_with_what_it_can_do(runtime: Path) -> None:
    add_host(Host(name="host-b", kind="simulated"))

    row = Host.objects.get()
    assert (row.name, row.domain_type, row.datapath) == ("host-b", "qemu", "system")
    assert min(row.cpus, row.memory_mib, row.free_memory_mib) > 0
    assert row.checked_at is not None
    assert row.problem == ""


def test_host_that_does_not_answer_is_not_added(runtime: Path) -> None:
    silence(runtime, "host-b")

    with pytest.raises(HostUnreachable, match="host-b does not answer"):
        add_host(Host(name="host-b", kind="simulated"))

    assert not Host.objects.exists()


def test_check_notes_why_a_host_does_not_answer_and_keeps_what_was_known(
    runtime: Path, kept: Hosts
) -> None:
    host = add_host(Host(name="host-b", kind="simulated"))
    cpus = host.cpus
    silence(runtime, "host-b")

    check_host(host, kept)

    row = Host.objects.get()
    assert row.problem.startswith("host-b does not answer.")
    assert row.cpus == cpus
    assert row.checked_at is not None


def test_check_clears_the_problem_of_a_host_that_answers_again(
    runtime: Path, kept: Hosts
) -> None:
    host = Host.objects.create(name="host-b", kind="simulated", problem="gone")

    check_host(host, kept)

    assert Host.objects.get().problem == ""


def test_edit_and_drain_during_a_check_stay(runtime: Path, kept: Hosts) -> None:
    host = add_host(Host(name="host-b", kind="simulated"))
    Host.objects.update(port=2222, drained_at=timezone.now(), drained_by="ada")

    check_host(host, kept)

    row = Host.objects.get()
    assert (row.port, row.drained_by) == (2222, "ada")


def test_everything_that_a_host_showed_is_written_down(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "examine", lambda *_, **__: FACTS)

    check_host(Host(name="host-b", kind="simulated"), kept)

    row = Host.objects.values("cpus", "memory_mib", "free_memory_mib", "load").get()
    assert row == {
        "cpus": 4,
        "memory_mib": 8000,
        "free_memory_mib": 6000,
        "load": 0.5,
    }
    assert Host.objects.filter(domain_type="kvm", datapath="netdev").exists()
    assert Host.objects.get().versions == {"Open vSwitch": "3.1.0"}


def test_version_with_control_characters_is_shown_without_them(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = HostFacts(**{**_fields(FACTS), "switch_version": "\x1b[2J\x07" + "9" * 9999})
    monkeypatch.setattr(services, "examine", lambda *_, **__: odd)

    check_host(Host(name="host-b", kind="simulated"), kept)

    assert Host.objects.get().versions == {"Open vSwitch": "␇" + "9" * 39}


def test_remark_about_a_host_that_answers_is_kept_with_its_remedy(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = HostFacts(**{**_fields(FACTS), "remark": REMARK, "hint": HINT})
    monkeypatch.setattr(services, "examine", lambda *_, **__: facts)

    check_host(Host(name="host-b", kind="simulated"), kept)

    row = Host.objects.get()
    assert row.remark == f"{REMARK} {HINT}"
    assert (row.problem, row.availability) == ("", "online")


def _fields(facts: HostFacts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in HostFacts.__slots__}


DROPPED = HostNetwork(
    claims=(Claim(kind=ClaimKind.FILTER, range="100.64.0.0/10", by="ts-input"),),
    drops_forwards=True,
)


def test_filter_of_the_management_range_is_named_and_kept_with_its_time(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "host_network", lambda *_, **__: DROPPED)

    check_host(Host(name="host-b", kind="simulated"), kept)

    row = Host.objects.get()
    assert "(ts-input) drops 100.64.0.0/10" in row.remark
    assert "TESTBED_MANAGEMENT_POOL" in row.remark
    assert row.own_network == DROPPED
    assert row.network_seen_at is not None
    assert not has_old_network(row)


def test_moved_pool_leaves_nothing_to_mend(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch, settings: object
) -> None:
    monkeypatch.setattr(services, "host_network", lambda *_, **__: DROPPED)
    settings.ADDRESS_POOLS = Pools(management=IPv4Network("172.20.0.0/14"))

    check_host(Host(name="host-b", kind="simulated"), kept)

    assert Host.objects.get().remark == ""


def test_firewall_that_keeps_guests_inside_matters_on_main(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = HostNetwork(drops_forwards=True)
    monkeypatch.setattr(services, "host_network", lambda *_, **__: found)

    check_host(Host(name="main", kind="simulated", is_main=True), kept)
    check_host(Host(name="host-b", kind="simulated"), kept)

    problems = dict(Host.objects.values_list("name", "remark"))
    assert 'firewall_backend = "iptables"' in problems["main"]
    assert problems["host-b"] == ""


def test_missing_nftables_matters_where_the_firewall_is_on(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = HostNetwork(lacks_nftables=True)
    monkeypatch.setattr(services, "host_network", lambda *_, **__: found)

    check_host(Host(name="host-b", kind="simulated"), kept)
    check_host(Host(name="host-c", kind="simulated", has_firewall=False), kept)

    problems = dict(Host.objects.values_list("name", "remark"))
    assert "nftables does not work on host-b" in problems["host-b"]
    assert "Install nftables there" in problems["host-b"]
    assert problems["host-c"] == ""


@pytest.mark.parametrize(
    ("age", "is_old"),
    [(timedelta(minutes=1), False), (timedelta(hours=1), True), (-timedelta(1), True)],
)
def test_network_is_looked_at_again_after_a_while(
    age: timedelta, *, is_old: bool
) -> None:
    assert has_old_network(Host(network_seen_at=timezone.now() - age)) is is_old
    assert has_old_network(Host())


def moved_to(*found: str) -> Callable[[str], tuple[str, ...]]:
    return lambda name: found


@pytest.fixture
def named(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A real host that was added by its name; only its answers are ours."""
    monkeypatch.setattr(services, "examine", lambda *_, **__: FACTS)
    monkeypatch.setattr(services, "host_network", lambda *_, **__: HostNetwork())
    monkeypatch.setattr(services, "addresses_of", moved_to("192.0.2.7", "192.0.2.8"))
    return add_host(Host(name="host-b", address="host-b.lab.example"))


def test_host_added_by_its_name_keeps_the_name_and_has_an_address_for_tunnels(
    named: Host,
) -> None:
    state = Host.objects.get().to_state()

    assert (state.address, state.tunnel_address) == ("host-b.lab.example", "192.0.2.7")
    assert Host.objects.get().remark == ""


def test_name_that_leads_elsewhere_is_said_and_tunnels_stay(
    named: Host, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "addresses_of", moved_to("192.0.2.99"))

    check_host(named, kept)

    row = Host.objects.get()
    assert "host-b.lab.example of host-b leads to 192.0.2.99 now" in row.remark
    assert row.to_state().tunnel_address == "192.0.2.7"

    add_host(row)
    assert Host.objects.get().to_state().tunnel_address == "192.0.2.99"
    assert Host.objects.get().remark == ""


def test_name_with_an_address_more_has_not_moved(
    named: Host, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "addresses_of", moved_to("192.0.2.8", "192.0.2.7"))

    check_host(named, kept)

    assert Host.objects.get().remark == ""


def test_host_with_an_unknown_name_is_not_added(runtime: Path) -> None:
    with pytest.raises(HostUnreachable, match=r"host-b\.invalid is not known"):
        add_host(Host(name="host-b", address="host-b.invalid"))

    assert not Host.objects.exists()
