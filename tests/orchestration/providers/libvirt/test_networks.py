"""Verbs of networks, against libvirt's own test driver."""

import pytest

from orchestration.errors import LibvirtFailed
from orchestration.providers.libvirt import networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.state.model import NatState, Reservation
from tests.orchestration.providers.libvirt.samples import MANAGEMENT, NAT


def xml(nat: NatState = NAT) -> str:
    return build_nat_network(nat, testbed="lab")


def described(conn: Connection) -> str:
    return conn.call("look", lambda c: c.networkLookupByName("lab-nat").XMLDesc())


def test_ensure_makes_a_network_once(simulated: Connection) -> None:
    management = build_management_network(MANAGEMENT, testbed="lab")

    assert networks.ensure(simulated, "lab-nat", xml()) is True
    assert networks.ensure(simulated, "lab-nat", xml()) is False
    assert networks.ensure(simulated, "lab-mgmt", management) is True
    assert networks.ensure(simulated, "lab-mgmt", management) is False
    assert networks.names(simulated) == ("lab-mgmt", "lab-nat")


def test_ensure_starts_a_stopped_network(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml())
    simulated.call("stop", lambda c: c.networkLookupByName("lab-nat").destroy())

    assert networks.ensure(simulated, "lab-nat", xml()) is True
    assert simulated.call("look", lambda c: c.networkLookupByName("lab-nat").isActive())


def test_changed_reservations_are_updated_in_place(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml())
    kept = NAT.reservations[0].model_copy(update={"address": "10.201.3.77"})
    new = Reservation(mac="52:54:00:00:00:03", address="10.201.3.12", names=("new",))
    changed = NAT.model_copy(update={"reservations": (kept, new)})

    assert networks.ensure(simulated, "lab-nat", xml(changed)) is True

    assert networks.leases(simulated, "lab-nat") == {
        "52:54:00:00:00:01": "10.201.3.77",
        "52:54:00:00:00:03": "10.201.3.12",
    }
    assert networks.ensure(simulated, "lab-nat", xml(changed)) is False


def test_changed_frame_is_defined_again(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml())
    changed = NAT.model_copy(update={"mtu": 1400})

    assert networks.ensure(simulated, "lab-nat", xml(changed)) is True

    assert "<mtu size='1400'/>" in described(simulated)
    assert networks.ensure(simulated, "lab-nat", xml(changed)) is False


def test_delete_says_whether_it_did_anything(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml())

    assert networks.delete(simulated, "lab-nat") is True
    assert networks.delete(simulated, "lab-nat") is False
    assert networks.names(simulated) == ()


def test_leases_of_an_unknown_network_are_an_error(simulated: Connection) -> None:
    with pytest.raises(LibvirtFailed, match="leases of network lab-none"):
        networks.leases(simulated, "lab-none")
