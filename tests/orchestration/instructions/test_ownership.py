"""Whole runs beside things that only have the names of a testbed's domains and networks.

Up refuses with the thing's name, Down ends what is the testbed's and leaves the rest.
"""

import pytest

from orchestration.events import Status
from orchestration.inventory.drift import missing_parts
from orchestration.inventory.things import observe
from orchestration.plan.model import Command, Kind
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.transport.base import Scope
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests
from tests.orchestration.providers.libvirt.samples import define_text
from tests.orchestration.state.samples import named_as_before

PLAIN = (
    "<domain type='test'><name>{name}</name><memory>1024</memory>"
    "<os><type>hvm</type></os></domain>"
)
NOBODYS = "was not made by a testbed"
VICTIMS = "belongs to guest x-a of testbed other"


def conn_of(rehearsal: Rehearsal, host: str = "host-a") -> Connection:
    return rehearsal.hosts.open(rehearsal.state.host(host)).libvirt


def take_name(rehearsal: Rehearsal, whose: str) -> str:
    """Let a foreign machine run under the name of guest `a`; return the name."""
    guest, conn = rehearsal.state.guest("a"), conn_of(rehearsal)
    changes = {"name": "x-a", "uuid": "7e57bed0-0000-4000-8000-000000000001"}
    other = guest.model_copy(update=changes)
    marked = build_domain(other, rehearsal.state.main, testbed="other")
    define_text(conn, {NOBODYS: PLAIN.format(name=guest.domain)}.get(whose, marked))
    conn.call("start", lambda h: h.lookupByName(guest.domain).create(), changes=True)
    return guest.domain


def machines(rehearsal: Rehearsal) -> dict[str, bool]:
    found = (*domains.observe(conn_of(rehearsal)),)
    found += domains.observe(conn_of(rehearsal, "host-b"))
    return {facts.name: facts.is_active for facts in found}


@pytest.mark.parametrize("whose", [NOBODYS, VICTIMS])
def test_foreign_machine_with_a_name_of_ours_survives_up_and_down(
    rehearsal: Rehearsal, whose: str
) -> None:
    name = take_name(rehearsal, whose)

    up = rehearsal.up()
    down = rehearsal.down()

    refused, left = up.of(Kind.START_GUESTS)["a"], down.of(Kind.STOP_GUESTS)["a"]
    sentence = f"The domain {name} on host-a {whose}; it is left alone."
    assert (refused.status, refused.message) == (Status.FAILED, sentence)
    assert (left.status, left.message) == (Status.WARNING, sentence)
    assert down.of(Kind.STOP_GUESTS)["b"].status is Status.DONE
    assert down.failed() == {}
    assert machines(rehearsal) == {name: True}


def test_recreating_disks_powers_no_foreign_machine_off(rehearsal: Rehearsal) -> None:
    name = take_name(rehearsal, VICTIMS)

    result = rehearsal.up(provision=True).of(Kind.CREATE_DISKS)["a"]

    assert (result.status, "left alone" in result.message) == (Status.FAILED, True)
    assert machines(rehearsal) == {name: True}


def test_everything_can_be_cleared_beside_a_foreign_machine(
    rehearsal: Rehearsal,
) -> None:
    name = take_name(rehearsal, NOBODYS)

    outcomes = rehearsal.run(Command.CLEAR_ARTEFACTS)

    assert outcomes.failed() == {}
    assert not rehearsal.project.has_state()
    found = domains.observe(rehearsal.hosts.open(rehearsal.inventory[0]).libvirt)
    assert [(facts.name, facts.is_active) for facts in found] == [(name, True)]


def test_preparing_a_golden_image_powers_no_foreign_machine_off(
    scaling: Rehearsal,
) -> None:
    name, conn = scaling.state.goldens[0].guest.domain, conn_of(scaling)
    define_text(conn, PLAIN.format(name=name))
    conn.call("start", lambda h: h.lookupByName(name).create(), changes=True)

    result = scaling.up().of(Kind.PREPARE_GOLDENS)["node"]

    assert result.status is Status.FAILED
    assert result.message.startswith(f"The domain {name} on host-a {NOBODYS}")
    assert machines(scaling) == {name: True}


def test_foreign_network_with_a_name_of_ours_survives_up_and_down(
    rehearsal: Rehearsal,
) -> None:
    nat, conn = rehearsal.state.network.nat, conn_of(rehearsal)
    text = f"<network><name>{nat.network}</name></network>"
    conn.call("make", lambda h: h.networkDefineXML(text).create(), changes=True)

    up = rehearsal.up()
    down = rehearsal.down()

    sentence = f"The network {nat.network} on host-a {NOBODYS}; it is left alone."
    assert sentence in {r.message for r in up.failed().values()}
    warned = [r for _, r in down.results if r.status is Status.WARNING]
    assert [r.message for r in warned] == [sentence]
    assert down.failed() == {}
    found = networks.observe(conn)
    assert [(n.name, n.is_active) for n in found] == [(nat.network, True)]


def test_foreign_things_with_names_of_ours_are_drift(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    rehearsal.down()
    name, nat = take_name(rehearsal, VICTIMS), rehearsal.state.network.nat
    text = f"<network><name>{nat.network}</name></network>"
    conn_of(rehearsal).call("make", lambda h: h.networkDefineXML(text), changes=True)

    host = rehearsal.hosts.open(rehearsal.state.main)
    parts = missing_parts(rehearsal.state, {"host-a": observe(host, scope=Scope())})

    named = [part.text for part in parts if "named" in part.text]
    assert named == [
        f"a machine named {name} that is not this testbed's is on host-a",
        f"a network named {nat.network} that is not this testbed's is on host-a",
    ]


def test_machines_named_by_an_earlier_version_run_on_until_down(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.project.write_state(named_as_before(rehearsal.state))
    rehearsal.build(two_guests())
    rehearsal.up()
    running = machines(rehearsal)

    rehearsal.build(two_guests())
    again = rehearsal.up()
    rehearsal.down()

    assert running == {"demo-a": True, "demo-b": True}
    assert {r.status for r in again.of(Kind.START_GUESTS).values()} == {
        Status.UNCHANGED
    }
    assert machines(rehearsal) == {}
    assert networks.observe(conn_of(rehearsal)) == ()


def test_machine_under_a_former_name_is_found_by_its_uuid(rehearsal: Rehearsal) -> None:
    now = rehearsal.state
    rehearsal.project.write_state(named_as_before(now))
    rehearsal.up()
    domains.destroy(conn_of(rehearsal), rehearsal.domain("a"))

    rehearsal.project.write_state(now)
    rehearsal.up()
    up = machines(rehearsal)
    rehearsal.down()

    assert up == {"t7-a": True, "demo-b": True}
    assert machines(rehearsal) == {}


def test_down_frees_the_addresses_also_where_a_foreign_network_stays(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    (network, *_) = rehearsal.state.network.management
    conn = conn_of(rehearsal, network.host)
    networks.delete(conn, network.network, testbed=rehearsal.state.testbed)
    text = f"<network><name>{network.network}</name></network>"
    conn.call("make", lambda h: h.networkDefineXML(text), changes=True)

    rehearsal.down()

    assert set(rehearsal.memory(network.host)["tables"]) == {"inet testbed"}
