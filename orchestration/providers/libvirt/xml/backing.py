"""Writes the layers below a guest's disk into the text of its domain.

By default libvirt gives each file of a chain to QEMU's user when a guest starts, and
never gives it back: a stored image, or a user's own disk, would be that user's from
then on, and any guest's process could write to it. Pure; the caller
(`storage/disks.py`) has checked the chain.
"""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from orchestration.providers.images.qemu_img import Layer


def with_layers(domain_xml: str, disk: str, layers: Sequence[Layer]) -> str:
    """Write a disk's layers into a domain's text, the nearest first.

    The list ends the chain: libvirt searches no further. Layers that are not plain
    files are left to it.
    """
    if not layers or not all(layer.path.startswith("/") for layer in layers):
        return domain_xml
    root = ET.fromstring(domain_xml)  # nosec B314  # noqa: S314 - our own text
    for element in root.iterfind("./devices/disk"):
        source = element.find("source")
        if source is not None and source.get("file") == disk:
            place = list(element).index(source) + 1
            element.insert(place, _backing(layers))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def keep_owner(source: ET.Element) -> None:
    """Make libvirt keep a file's owner."""
    ET.SubElement(source, "seclabel", model="dac", relabel="no")


def _backing(layers: Sequence[Layer]) -> ET.Element:
    element = ET.Element("backingStore")
    if layers:
        element.set("type", "file")
        ET.SubElement(element, "format", type=layers[0].format)
        keep_owner(ET.SubElement(element, "source", file=layers[0].path))
        element.append(_backing(layers[1:]))
    return element
