"""Backing files keep their owner: the XML names each of them to libvirt."""

import xml.etree.ElementTree as ET

import pytest

from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.libvirt.xml.backing import with_layers
from orchestration.providers.libvirt.xml.domain import build_domain
from tests.orchestration.providers.libvirt.samples import HOST, build_guest

GUEST = build_guest()
TEXT = build_domain(GUEST, HOST, testbed="lab")


def test_each_layer_is_named_with_its_format_and_keeps_its_owner() -> None:
    layers = (Layer("/i/golden.qcow2", "qcow2"), Layer("/i/own.img", "raw"))

    root = ET.fromstring(with_layers(TEXT, GUEST.disk, layers))  # noqa: S314

    disk, seed = root.iterfind("./devices/disk")
    below = list(disk.iter("backingStore"))
    assert [
        (one.find("source").get("file"), one.find("format").get("type"))
        for one in below[:-1]
    ] == [("/i/golden.qcow2", "qcow2"), ("/i/own.img", "raw")]
    labels = [one.find("source/seclabel").attrib for one in below[:-1]]
    assert labels == [{"model": "dac", "relabel": "no"}] * 2
    # An empty one ends the chain: libvirt looks for no more.
    assert (below[-1].attrib, list(below[-1])) == ({}, [])
    # The disk itself is the guest's, and libvirt gives it to QEMU's user.
    assert disk.find("source/seclabel") is None
    assert seed.find("backingStore") is None


@pytest.mark.parametrize("path", ["json:{}", "nbd://192.0.2.1/x", "relative.qcow2"])
def test_backing_that_is_no_plain_file_is_left_to_libvirt(path: str) -> None:
    layers = (Layer("/i/golden.qcow2", "qcow2"), Layer(path, "raw"))

    assert with_layers(TEXT, GUEST.disk, layers) == TEXT


def test_disk_that_stands_alone_is_as_it_was() -> None:
    assert with_layers(TEXT, GUEST.disk, ()) == TEXT
