"""Devices of a running domain of a real libvirtd, plugged in and asked back."""

import pytest

from orchestration.errors import LibvirtFailed, StateError
from orchestration.providers.libvirt import devices, domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.diff.interfaces import HOTPLUG_ROOM
from orchestration.state.model import GuestState
from tests.orchestration.providers.libvirt.private_host import PrivateHost
from tests.orchestration.providers.libvirt.samples import (
    MANAGEMENT_XML,
    REAL_HOST,
    domain_in_lab,
)

pytestmark = pytest.mark.live


def wider(guest: GuestState, more: int) -> GuestState:
    """Return the guest with more interfaces."""
    first = guest.interfaces[0]
    added = tuple(
        first.model_copy(
            update={
                "name": f"eth{number}",
                "tap": f"tb-0-{number}",
                "mac": f"52:54:00:0a:ff:{number:02x}",
            }
        )
        for number in range(2, 2 + more)
    )
    return guest.model_copy(update={"interfaces": (*guest.interfaces, *added)})


@pytest.fixture
def running(conn: Connection, guest: GuestState) -> GuestState:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))
    return guest


def test_as_many_interfaces_as_promised_can_be_plugged_in(
    conn: Connection, private_host: PrivateHost, running: GuestState
) -> None:
    wide = wider(running, HOTPLUG_ROOM + 1)
    text = build_domain(wide, REAL_HOST, testbed="lab")
    before = devices.plugged(conn, domain_in_lab(running))
    *fitting, last = (devices.interface(i.mac) for i in wide.interfaces[2:])

    for device in fitting:
        devices.plug(conn, domain_in_lab(running), devices.device_text(text, device))

    assert devices.plugged(conn, domain_in_lab(running)) - before == set(fitting)
    ports = private_host.run("ovs-vsctl", "list-ports", "tb-br0").split()
    assert {i.tap for i in wide.interfaces[: HOTPLUG_ROOM + 2]} <= set(ports)
    one_more = devices.device_text(text, last)
    with pytest.raises(LibvirtFailed) as caught:
        devices.plug(conn, domain_in_lab(running), one_more)
    assert "shut it down" in caught.value.hint


def test_guest_that_does_not_let_go_keeps_its_device_and_runs_on(
    conn: Connection, running: GuestState
) -> None:
    device = devices.interface(running.interfaces[1].mac.upper())
    waits: list[float] = []

    is_gone = devices.unplug(
        conn, domain_in_lab(running), device, sleep=waits.append, timeout_s=1
    )

    assert not is_gone
    assert waits
    assert device in devices.plugged(conn, domain_in_lab(running))
    assert domains.find(conn, domain_in_lab(running)).is_active
    gone = devices.interface("52:54:00:00:00:99")
    assert devices.unplug(
        conn, domain_in_lab(running), gone, sleep=waits.append, timeout_s=1
    )


def test_cable_is_pulled_and_plugged_in(
    conn: Connection, private_host: PrivateHost, running: GuestState
) -> None:
    mac = running.interfaces[0].mac

    def seen() -> str:
        shown = private_host.run("virsh", "domif-getlink", running.domain, mac)
        return shown.split()[-1]

    devices.set_link(conn, domain_in_lab(running), mac, is_up=False)
    pulled = seen()
    devices.set_link(conn, domain_in_lab(running), mac, is_up=True)

    assert (pulled, seen()) == ("down", "up")


def test_mark_of_a_running_domain_is_exchanged(
    conn: Connection, running: GuestState
) -> None:
    devices.set_spec_hash(conn, domain_in_lab(running), "new")

    found = domains.find(conn, domain_in_lab(running))
    assert (found.testbed, found.guest, found.spec_hash) == ("lab", "web-0", "new")


def test_device_that_the_text_does_not_have_is_an_error(guest: GuestState) -> None:
    text = build_domain(guest, REAL_HOST, testbed="lab")

    assert "address type" not in devices.device_text(text, devices.disk("vdb"))
    with pytest.raises(StateError, match="no disk vdz"):
        devices.device_text(text, devices.disk("vdz"))
