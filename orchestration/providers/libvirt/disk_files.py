"""Lists the disk files of all domains of a host, ours or foreign.

For the files that must not be deleted below a domain (`inventory/images.py`): the disks
and CD-ROMs of its definition and, while it runs, of its running configuration, with the
files below them as far as libvirt reports them.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.metadata import Mark, find_mark


@dataclass(frozen=True, slots=True)
class DomainFiles:
    """A domain's files; `mark` is empty for a foreign domain."""

    name: str
    mark: Mark
    files: frozenset[str]


def domain_files(conn: Connection) -> tuple[DomainFiles, ...]:
    """List the files of all domains. Raises: HostUnreachable, LibvirtFailed."""

    def work(handle: libvirt.virConnect) -> tuple[DomainFiles, ...]:
        found = (_files_of(domain) for domain in handle.listAllDomains())
        return tuple(one for one in found if one is not None)

    return conn.call("list the disks of its domains", work)


def _files_of(domain: libvirt.virDomain) -> DomainFiles | None:
    try:
        texts = {domain.XMLDesc(), domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)}
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise
    # From libvirtd, which has parsed and printed it itself.
    roots = [ET.fromstring(text) for text in texts]  # nosec B314  # noqa: S314
    sources = (s for root in roots for s in root.iterfind("./devices/disk//source"))
    files = frozenset(filter(None, (source.get("file") for source in sources)))
    return DomainFiles(domain.name(), find_mark(roots[0]), files)
