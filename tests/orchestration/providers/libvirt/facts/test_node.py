"""A simulated host's facts about itself."""

from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.facts.node import node_facts
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    build_guest,
    domain_in_lab,
)


def test_simulated_host_has_the_size_that_was_entered(simulated: Connection) -> None:
    facts = node_facts(simulated)

    assert (facts.cpus, facts.memory_mib) == (32, 131_072)
    assert facts.free_memory_mib == 131_072
    assert facts.hypervisor == "TEST"
    assert not facts.kvm


def test_running_guests_take_simulated_memory(simulated: Connection) -> None:
    for index in range(2):
        guest = build_guest(index)
        domains.define(
            simulated, domain_in_lab(guest), build_domain(guest, HOST, testbed="lab")
        )
    domains.start(simulated, domain_in_lab(build_guest(1)))

    assert node_facts(simulated).free_memory_mib == 131_072 - 512
