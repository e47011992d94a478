"""Our mark on domains and networks, which identifies them without a database.

`xml/domain.py` writes it into the text, `domains` reads it from running domains. The
namespace is a name only: nothing is ever fetched from it.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

NAMESPACE = "urn:testbed:orchestration:1"
_TAG = f"{{{NAMESPACE}}}owner"

ET.register_namespace("testbed", NAMESPACE)


@dataclass(frozen=True, slots=True)
class Mark:
    """The owner of a thing; all fields are empty for foreign ones.

    `spec_hash` is the digest of the settings it was built from; `guest` is for domains.
    """

    testbed: str = ""
    guest: str = ""
    spec_hash: str = ""


def build_mark(mark: Mark) -> ET.Element:
    """Build the `<metadata>` of a domain or network."""
    metadata = ET.Element("metadata")
    owner = ET.SubElement(metadata, _TAG, testbed=mark.testbed)
    if mark.guest:
        owner.set("guest", mark.guest)
    owner.set("spec", mark.spec_hash)
    return metadata


def mark_text(mark: Mark) -> str:
    """Write the element alone, as libvirt takes it: it adds the namespace itself."""
    owner = build_mark(mark)[0]
    owner.tag = "owner"
    return ET.tostring(owner, encoding="unicode")


def parse_mark(text: str) -> Mark:
    """Read the element that libvirt returns for our namespace (prefix removed)."""
    # The text comes from libvirtd, which has parsed and printed it itself.
    return _read(ET.fromstring(text))  # nosec B314  # noqa: S314


def find_mark(root: ET.Element) -> Mark:
    """Find our mark in a domain's or network's whole XML."""
    owner = root.find(f"./metadata/{_TAG}")
    return Mark() if owner is None else _read(owner)


def _read(owner: ET.Element) -> Mark:
    return Mark(owner.get("testbed", ""), owner.get("guest", ""), owner.get("spec", ""))
