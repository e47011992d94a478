"""Verbs of networks, against libvirt's own test driver."""

import pytest

from orchestration.errors import ForeignThing, LibvirtFailed
from orchestration.providers.libvirt import networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.state.model import NatState, Reservation
from tests.orchestration.providers.libvirt.samples import MANAGEMENT, NAT, network_names


def xml(nat: NatState = NAT) -> str:
    return build_nat_network(nat, testbed="lab")


def described(conn: Connection) -> str:
    return conn.call("look", lambda c: c.networkLookupByName("lab-nat").XMLDesc())


def test_ensure_makes_a_network_once(simulated: Connection) -> None:
    management = build_management_network(MANAGEMENT, testbed="lab")

    assert networks.ensure(simulated, "lab-nat", xml(), testbed="lab") is True
    assert networks.ensure(simulated, "lab-nat", xml(), testbed="lab") is False
    assert networks.ensure(simulated, "lab-mgmt", management, testbed="lab") is True
    assert networks.ensure(simulated, "lab-mgmt", management, testbed="lab") is False
    assert network_names(simulated) == ("lab-mgmt", "lab-nat")


def test_ensure_starts_a_stopped_network(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml(), testbed="lab")
    simulated.call("stop", lambda c: c.networkLookupByName("lab-nat").destroy())

    assert networks.ensure(simulated, "lab-nat", xml(), testbed="lab") is True
    assert simulated.call("look", lambda c: c.networkLookupByName("lab-nat").isActive())


def test_changed_reservations_are_updated_in_place(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml(), testbed="lab")
    kept = NAT.reservations[0].model_copy(update={"address": "10.201.3.77"})
    new = Reservation(mac="52:54:00:00:00:03", address="10.201.3.12", names=("new",))
    changed = NAT.model_copy(update={"reservations": (kept, new)})

    assert networks.ensure(simulated, "lab-nat", xml(changed), testbed="lab") is True

    assert networks.leases(simulated, "lab-nat", testbed="lab") == {
        "52:54:00:00:00:01": "10.201.3.77",
        "52:54:00:00:00:03": "10.201.3.12",
    }
    assert networks.ensure(simulated, "lab-nat", xml(changed), testbed="lab") is False


def test_changed_frame_is_defined_again(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml(), testbed="lab")
    changed = NAT.model_copy(update={"mtu": 1400})

    assert networks.ensure(simulated, "lab-nat", xml(changed), testbed="lab") is True

    assert "<mtu size='1400'/>" in described(simulated)
    assert networks.ensure(simulated, "lab-nat", xml(changed), testbed="lab") is False


def test_delete_says_whether_it_did_anything(simulated: Connection) -> None:
    networks.ensure(simulated, "lab-nat", xml(), testbed="lab")

    assert networks.delete(simulated, "lab-nat", testbed="lab") is True
    assert networks.delete(simulated, "lab-nat", testbed="lab") is False
    assert network_names(simulated) == ()


def test_leases_of_an_unknown_network_are_an_error(simulated: Connection) -> None:
    with pytest.raises(LibvirtFailed, match="leases of network lab-none"):
        networks.leases(simulated, "lab-none", testbed="lab")


FOREIGN = {
    "was not made by a testbed": "<network><name>lab-nat</name></network>",
    "belongs to testbed lab-x": build_nat_network(NAT, testbed="lab-x"),
}


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("verb", ["ensure", "delete", "leases"])
def test_foreign_network_is_refused_and_stays_as_it_is(
    simulated: Connection, verb: str, words: str
) -> None:
    start = lambda handle: handle.networkDefineXML(FOREIGN[words]).create()  # noqa: E731
    simulated.call("make it", start, changes=True)
    before = networks.observe(simulated)
    verbs = {
        "ensure": lambda: networks.ensure(simulated, "lab-nat", xml(), testbed="lab"),
        "delete": lambda: networks.delete(simulated, "lab-nat", testbed="lab"),
        "leases": lambda: networks.leases(simulated, "lab-nat", testbed="lab"),
    }

    with pytest.raises(ForeignThing, match=f"network lab-nat on sim-1 {words}"):
        verbs[verb]()

    assert networks.observe(simulated) == before
    assert before[0].is_active
