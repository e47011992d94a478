"""Every definition of a guest names the files below its disk to libvirt."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.events import Status
from orchestration.plan.model import Kind
from orchestration.transport.base import Scope, command
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import machine, spec_of


@pytest.fixture(name="deployed")
def _deployed(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path, spec_of(machine("web", "br0"), bridges=("br0",)))
    assert not rehearsal.up().failed()
    yield rehearsal
    rehearsal.hosts.close()


def kept(rehearsal: Rehearsal) -> list[tuple[str, str]]:
    """The files below the guest's disk of which libvirt is told to keep their owner."""
    host = rehearsal.hosts.open(rehearsal.inventory[0])
    name = rehearsal.state.guest("web").domain
    text = host.libvirt.call("look", lambda handle: handle.lookupByName(name).XMLDesc())
    layers = ET.fromstring(text).iterfind("./devices/disk//backingStore[@type]")  # noqa: S314
    return [
        (layer.find("source").get("file"), layer.find("format").get("type"))
        for layer in layers
        if layer.find("source/seclabel[@model='dac'][@relabel='no']") is not None
    ]


def test_image_below_a_disk_keeps_its_owner(deployed: Rehearsal) -> None:
    assert kept(deployed) == [(deployed.state.guest("web").image.path, "qcow2")]


def test_image_that_was_renewed_since_is_not_said_to_be_below(
    deployed: Rehearsal,
) -> None:
    deployed.down()
    host = deployed.hosts.open(deployed.inventory[0])
    disk = deployed.state.guest("web").disk
    older = ("-f", "qcow2", "-b", "/srv/images/older.qcow2", disk)
    create = command("qemu-img", "create", *older)
    host.transport.run(create, scope=Scope())

    assert not deployed.up().failed()

    assert kept(deployed) == [("/srv/images/older.qcow2", "qcow2")]


def test_definition_of_a_running_guest_names_its_image_too(deployed: Rehearsal) -> None:
    deployed.edit(spec_of(machine("web", "br0", "br0"), bridges=("br0",)))

    changed = deployed.up().of(Kind.CHANGE_INTERFACES)["web"]

    assert changed.status is Status.DONE
    assert kept(deployed) == [(deployed.state.guest("web").image.path, "qcow2")]


def test_running_guest_of_an_earlier_version_is_left_alone(deployed: Rehearsal) -> None:
    host = deployed.hosts.open(deployed.inventory[0])
    before = deployed.project.artefacts / "web-domain.xml"
    define = before.read_text()
    host.libvirt.call("define", lambda handle: handle.defineXML(define), changes=True)

    started = deployed.up().of(Kind.START_GUESTS)["web"]

    assert (started.status, started.message) == (Status.UNCHANGED, "already runs")
    deployed.down()
    assert not deployed.up().failed()
    assert kept(deployed)
