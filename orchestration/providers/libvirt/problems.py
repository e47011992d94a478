"""Reads a failing domain's problems from libvirt: failed disks, dead links.

Called once, by the diagnosis of a guest that did not come up. libvirt keeps no errno of
a failed disk: it distinguishes only a full file system from all else.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from orchestration.providers.libvirt.connection import Connection, is_test_driver
from orchestration.providers.libvirt.ownership import GuestDomain, call_on, lookup

_GONE = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


@dataclass(frozen=True, slots=True)
class DiskError:
    """A disk of a guest that failed: `target` is its name there, `path` on the host."""

    target: str
    path: str
    is_full: bool


def disk_errors(conn: Connection, guest: GuestDomain) -> tuple[DiskError, ...]:
    """Return a running domain's failed disks; none of a domain that does not run."""

    def work(handle: libvirt.virConnect) -> tuple[DiskError, ...]:
        # The test driver makes some up.
        if is_test_driver(handle):
            return ()
        domain = lookup(handle, guest, conn.machine)
        if domain is None:
            return ()
        codes = _codes(domain)
        paths = _paths(domain.XMLDesc()) if codes else {}
        return tuple(
            DiskError(
                target,
                paths.get(target, "a file of the host"),
                is_full=code == libvirt.VIR_DOMAIN_DISK_ERROR_NO_SPACE,
            )
            for target, code in sorted(codes.items())
        )

    return conn.call(f"list the disk errors of domain {guest.name}", work)


def links_down(conn: Connection, guest: GuestDomain) -> frozenset[str]:
    """Return the MACs (lower case) of the interfaces whose link is set to down."""
    return call_on(
        conn,
        guest,
        f"look at the links of domain {guest.name}",
        lambda domain: frozenset(_unplugged(_parse(domain.XMLDesc()))),
    )


def _codes(domain: libvirt.virDomain) -> dict[str, int]:
    try:
        return domain.diskErrors() or {}
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
    return ET.fromstring(xml)  # nosec B314  # noqa: S314
