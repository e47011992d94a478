"""Reads a failing domain's problems from libvirt: failed disks, dead links.

Called once, by the diagnosis of a guest that did not come up. libvirt keeps no errno of
a failed disk: it distinguishes only a full file system from all else.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from orchestration.providers.libvirt.connection import Connection, is_test_driver

_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class DiskError:
    """A disk of a guest that failed: `target` is its name there, `path` on the host."""

    target: str
    path: str
    is_full: bool


def disk_errors(conn: Connection, name: str) -> tuple[DiskError, ...]:
    """Return a running domain's failed disks; none of a domain that does not run."""

    def work(handle: libvirt.virConnect) -> tuple[DiskError, ...]:
        # The test driver makes some up.
        codes = {} if is_test_driver(handle) else _codes(handle, name)
        paths = _paths(handle.lookupByName(name).XMLDesc()) if codes else {}
        return tuple(
            DiskError(
                target,
                paths.get(target, "a file of the host"),
                is_full=code == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE,
            )
            for target, code in sorted(codes.items())
        )

    return conn.call(f"list the disk errors of domain {name}", work)


def links_down(conn: Connection, name: str) -> frozenset[str]:
    """Return the MACs (lower case) of the interfaces whose link is set to down."""

    def work(handle: libvirt.virConnect) -> frozenset[str]:
        root = _parse(handle.lookupByName(name).XMLDesc())
        return frozenset(_unplugged(root))

    return conn.call(f"look at the links of domain {name}", work)


def _codes(handle: libvirt.virConnect, name: str) -> dict[str, int]:
    try:
        return handle.lookupByName(name).diskErrors() or {}
    except libvirt.libvirtError as error:
        if error.get_error_code() in _GONE:
            return {}
        raise


def _paths(xml: str) -> dict[str, str]:
    """Return the file behind each disk, by its name in the guest."""
    paths = {}
    for disk in _parse(xml).iterfind("./devices/disk"):
        target, source = disk.find("target"), disk.find("source")
        if target is not None and source is not None:
            paths[target.get("dev", "")] = source.get("file", "")
    return paths


def _unplugged(root: ET.Element) -> list[str]:
    macs = []
    for interface in root.iterfind("./devices/interface"):
        link, mac = interface.find("link"), interface.find("mac")
        if link is not None and mac is not None and link.get("state") == "down":
            macs.append(mac.get("address", "").lower())
    return macs


def _parse(xml: str) -> ET.Element:
    # From libvirtd, never from a user.
    return ET.fromstring(xml)  # noqa: S314
