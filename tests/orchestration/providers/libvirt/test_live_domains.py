"""Domains of a real libvirtd, emulated by QEMU, on Open vSwitch."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from orchestration.providers.images import qemu_img
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import DomainStatus
from orchestration.providers.libvirt.xml.backing import with_layers
from orchestration.providers.libvirt.xml.domain import build_domain
from orchestration.state.model import GuestState
from orchestration.state.model.images import DiskOrigin
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.orchestration.providers.libvirt.private_host import PrivateHost
from tests.orchestration.providers.libvirt.samples import (
    MANAGEMENT_XML,
    REAL_HOST,
    domain_in_lab,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.live
BOOTS_WITHIN_S = 240


def test_domain_lives_and_goes_without_a_trace(
    conn: Connection, private_host: PrivateHost, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    xml = build_domain(guest, REAL_HOST, testbed="lab")
    domains.define(conn, domain_in_lab(guest), xml)
    domains.define(conn, domain_in_lab(guest), xml)

    assert domains.start(conn, domain_in_lab(guest)) is True
    assert domains.start(conn, domain_in_lab(guest)) is False
    (facts,) = domains.observe(conn)
    assert facts.status is DomainStatus.RUNNING
    assert (facts.testbed, facts.guest, facts.spec_hash) == ("lab", "web-0", "hash-0")
    assert (facts.vcpus, facts.memory_mib) == (2, 512)
    assert facts.used_memory_mib > 0
    assert domains.find(conn, domain_in_lab(guest)).uuid == guest.uuid
    ports = private_host.run("ovs-vsctl", "list-ports", "tb-br0").split()
    assert ports == ["tb-0-0", "tb-0-1"]

    assert domains.destroy(conn, domain_in_lab(guest)) is True
    assert domains.destroy(conn, domain_in_lab(guest)) is False
    assert domains.find(conn, domain_in_lab(guest)).reason == "destroyed"
    assert domains.undefine(conn, domain_in_lab(guest)) is True
    assert private_host.run("ovs-vsctl", "list-ports", "tb-br0") == ""


def test_guest_that_ignores_the_power_button_is_given_up(
    conn: Connection, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))

    off = domains.shut_down(
        conn, domain_in_lab(guest), sleep=lambda _s: None, timeout_s=1
    )

    assert off is False
    assert domains.find(conn, domain_in_lab(guest)).is_active


def test_booted_guest_obeys_the_power_button(
    conn: Connection, guest: GuestState
) -> None:
    image = built_image()
    if image is None:
        pytest.skip("the test guest image is not built: script/lab/guest-image")
    shutil.copy(image, guest.disk)
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))
    console = Path(guest.console)
    wait_until(
        lambda: "guest ready" in console.read_text(errors="replace"),
        "the guest never became ready",
        timeout_s=BOOTS_WITHIN_S,
        pause_s=0.2,
    )

    off = domains.shut_down(conn, domain_in_lab(guest), sleep=time.sleep, timeout_s=120)

    assert off is True
    facts = domains.find(conn, domain_in_lab(guest))
    assert (facts.status, facts.reason) == (DomainStatus.SHUT_OFF, "shut down")


def test_only_a_guests_own_disk_is_given_to_qemus_user(
    conn: Connection, guest: GuestState
) -> None:
    folder = Path(guest.disk).parent
    base, iso = folder / "own.img", folder / "boot.iso"
    for path in (base, iso):
        path.write_bytes(bytes(1 << 20))
        path.chmod(0o444)
    words = ("-f", "qcow2", "-F", "raw", "-b", str(base), guest.disk)
    subprocess.run(["qemu-img", "create", "-q", *words], check=True)
    image = guest.image.model_copy(update={"path": str(iso)})
    changes = {"image": image, "disk_origin": DiskOrigin.BLANK}
    text = build_domain(guest.model_copy(update=changes), REAL_HOST, testbed="lab")
    layers = qemu_img.require_chain(LocalTransport(), guest.disk, scope=Scope())
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")

    domains.define(conn, domain_in_lab(guest), with_layers(text, guest.disk, layers))
    domains.start(conn, domain_in_lab(guest))

    assert owner(guest.disk) != owner(folder)
    assert [(owner(p), p.stat().st_mode & 0o777) for p in (base, iso)] == [
        (owner(folder), 0o444)
    ] * 2
    domains.destroy(conn, domain_in_lab(guest))
    assert {owner(base), owner(iso)} == {owner(folder)}


def owner(path: str | Path) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_uid, found.st_gid


def built_image() -> Path | None:
    """Return the image that script/lab/guest-image made, if it did."""
    default = Path(__file__).parents[4] / "var/cache/images"
    cache = Path(os.environ.get("TESTBED_IMAGE_CACHE", default))
    found = cache / "test_guest.json"
    if not found.exists():
        return None
    return cache / str(json.loads(found.read_text())["path"])
