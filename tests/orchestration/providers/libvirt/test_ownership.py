"""Every verb of a domain refuses one that is not the guest's, by its name or its uuid."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestration.errors import ForeignThing
from orchestration.providers.libvirt import devices, domains, problems
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    build_guest,
    define_text,
    domain_in_lab,
)

GUEST = build_guest()
WEB = domain_in_lab(GUEST)
XML = build_domain(GUEST, HOST, testbed="lab")
MAC = GUEST.interfaces[0].mac
OTHER_UUID = build_guest(1).uuid
Verb = Callable[[Connection], object]


def plain(name: str, uuid: str) -> str:
    """A running machine of somebody who knows no testbeds."""
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid>"
        "<memory>1024</memory><os><type>hvm</type></os></domain>"
    )


def of_another_testbed(name: str) -> str:
    """Guest `web` of the testbed `lab-x`, whose domain has the given name."""
    changes = {"name": "web", "domain": name, "uuid": OTHER_UUID}
    return build_domain(GUEST.model_copy(update=changes), HOST, testbed="lab-x")


FOREIGN = {
    "was not made by a testbed": plain(WEB.name, OTHER_UUID),
    "belongs to guest web of testbed lab-x": of_another_testbed(WEB.name),
    "the-uuid-of-ours on sim-1 was not made": plain("the-uuid-of-ours", WEB.uuid),
}


def never(_seconds: float) -> None:
    pytest.fail("waited for a foreign domain")


VERBS: dict[str, Verb] = {
    "define": lambda conn: domains.define(conn, WEB, XML),
    "start": lambda conn: domains.start(conn, WEB),
    "destroy": lambda conn: domains.destroy(conn, WEB),
    "shut_down": lambda conn: domains.shut_down(conn, WEB, sleep=never, timeout_s=9),
    "undefine": lambda conn: domains.undefine(conn, WEB),
    "find": lambda conn: domains.find(conn, WEB),
    "plugged": lambda conn: devices.plugged(conn, WEB),
    "plug": lambda conn: devices.plug(conn, WEB, "<interface/>"),
    "unplug": lambda conn: devices.unplug(
        conn, WEB, devices.interface(MAC), sleep=never, timeout_s=9
    ),
    "set_link": lambda conn: devices.set_link(conn, WEB, MAC, is_up=False),
    "set_spec_hash": lambda conn: devices.set_spec_hash(conn, WEB, ""),
    "links_down": lambda conn: problems.links_down(conn, WEB),
}


def running(conn: Connection, xml: str) -> None:
    define_text(conn, xml)
    conn.call("start", lambda h: h.listAllDomains()[0].create(), changes=True)


def texts(conn: Connection) -> list[tuple[str, bool]]:
    return conn.call(
        "read all",
        lambda h: [(d.XMLDesc(), bool(d.isActive())) for d in h.listAllDomains()],
    )


@pytest.mark.parametrize("words", FOREIGN)
@pytest.mark.parametrize("verb", VERBS)
def test_foreign_domain_is_refused_and_stays_as_it_is(
    simulated: Connection, verb: str, words: str
) -> None:
    running(simulated, FOREIGN[words])
    before = texts(simulated)

    with pytest.raises(ForeignThing, match=words) as refused:
        VERBS[verb](simulated)

    assert refused.value.message.endswith("it is left alone.")
    assert "Ask a lab admin" in refused.value.hint
    assert texts(simulated) == before
    assert before[0][1]


def test_guest_of_the_same_testbed_is_foreign_to_another_guest(
    simulated: Connection,
) -> None:
    define_text(simulated, XML)

    with pytest.raises(ForeignThing, match="guest web-0 of testbed lab"):
        domains.undefine(simulated, replace(WEB, guest="web"))


def test_own_domain_is_found_by_its_uuid_whatever_its_name_is(
    simulated: Connection,
) -> None:
    define_text(simulated, build_domain(GUEST, HOST, testbed="lab"))
    renamed = replace(WEB, name="t7-web-0")

    assert domains.start(simulated, renamed)
    assert domains.destroy(simulated, renamed)
    assert domains.undefine(simulated, renamed)


def test_own_domain_with_another_uuid_is_found_by_its_name_and_mark(
    simulated: Connection,
) -> None:
    define_text(simulated, XML)

    found = domains.find(simulated, GuestDomain("lab", "web-0", WEB.name, OTHER_UUID))

    assert found is not None
    assert found.uuid == WEB.uuid
