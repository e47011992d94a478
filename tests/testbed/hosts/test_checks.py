"""Adding and checking hosts: the row says what the host showed, or why it did not."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import HostUnreachable
from orchestration.hosts import HostFacts, Hosts
from orchestration.state.model import Datapath, DomainType
from testbed.hosts import checks as services
from testbed.hosts.checks import add_host, check_host
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


def test_remark_about_a_host_that_answers_is_kept_with_its_remedy(
    runtime: Path, kept: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = HostFacts(**{**_fields(FACTS), "remark": REMARK, "hint": HINT})
    monkeypatch.setattr(services, "examine", lambda *_, **__: facts)

    check_host(Host(name="host-b", kind="simulated"), kept)

    assert Host.objects.get().problem == f"{REMARK} {HINT}"


def _fields(facts: HostFacts) -> dict[str, object]:
    return {name: getattr(facts, name) for name in HostFacts.__slots__}
