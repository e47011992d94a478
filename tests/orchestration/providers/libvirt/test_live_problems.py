"""Facts of a real libvirtd about a running domain's links, disks and work."""

import xml.etree.ElementTree as ET

import pytest

from orchestration.providers.libvirt import domains, networks, problems
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import GuestState
from tests.orchestration.providers.libvirt.samples import (
    MANAGEMENT_XML,
    REAL_HOST,
    domain_in_lab,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.live
PATIENCE_S = 60


@pytest.fixture(name="running")
def _running(conn: Connection, guest: GuestState) -> GuestState:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))
    return guest


def unplug(conn: Connection, name: str) -> str:
    """Set the link of a domain's first interface to down; return its MAC."""

    def work(handle) -> str:
        domain = handle.lookupByName(name)
        root = ET.fromstring(domain.XMLDesc())  # noqa: S314 - from libvirtd
        interface = root.find("./devices/interface")
        ET.SubElement(interface, "link", state="down")
        domain.updateDeviceFlags(ET.tostring(interface, encoding="unicode"))
        return interface.find("mac").get("address")

    return conn.call("unplug a cable", work, changes=True)


def test_unplugged_cable_is_known_by_its_mac(
    conn: Connection, running: GuestState
) -> None:
    assert problems.links_down(conn, domain_in_lab(running)) == frozenset()

    mac = unplug(conn, running.domain)

    assert problems.links_down(conn, domain_in_lab(running)) == {mac.lower()}


def test_domain_without_failed_disks_has_no_disk_errors(
    conn: Connection, running: GuestState
) -> None:
    assert problems.disk_errors(conn, domain_in_lab(running)) == ()
    domains.destroy(conn, domain_in_lab(running))
    assert problems.disk_errors(conn, domain_in_lab(running)) == ()
    domains.undefine(conn, domain_in_lab(running))
    assert problems.disk_errors(conn, domain_in_lab(running)) == ()


def test_work_of_a_guest_grows(conn: Connection, running: GuestState) -> None:
    first = domains.cpu_times(conn)[running.domain]

    wait_until(
        lambda: domains.cpu_times(conn)[running.domain] > first,
        "the guest's CPU time does not grow",
        timeout_s=PATIENCE_S,
        pause_s=0.1,
    )

    domains.destroy(conn, domain_in_lab(running))
    assert running.domain not in domains.cpu_times(conn)
