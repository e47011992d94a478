"""Observed facts of a domain, from libvirt's figures and our mark, and its disk files.

`domains.observe` and `domains.find` return the facts; the web stores and shows them.
`domains.disk_files` returns the files, which must not be deleted below a domain.
Interfaces are left out: libvirt asks Open vSwitch for each one's figures with a process
of its own. `linux/ip_link.py` has the kernel's, of all taps in one call.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from enum import StrEnum

import libvirt

from orchestration.providers.libvirt.ownership import mark_of
from orchestration.providers.libvirt.xml.metadata import Mark, find_mark

STATS = (
    libvirt.VIR_DOMAIN_STATS_STATE
    | libvirt.VIR_DOMAIN_STATS_CPU_TOTAL
    | libvirt.VIR_DOMAIN_STATS_BALLOON
    | libvirt.VIR_DOMAIN_STATS_VCPU
    | libvirt.VIR_DOMAIN_STATS_BLOCK
)


_READ_BYTES = re.compile(r"block\.[0-9]+\.rd\.bytes")
_WRITTEN_BYTES = re.compile(r"block\.[0-9]+\.wr\.bytes")


class DomainStatus(StrEnum):
    """A domain's state in libvirt's words."""

    UNKNOWN = "unknown"
    RUNNING = "running"
    BLOCKED = "blocked"
    PAUSED = "paused"
    SHUTTING_DOWN = "shutting down"
    SHUT_OFF = "shut off"
    CRASHED = "crashed"
    SUSPENDED = "suspended"


_REASONS = {
    DomainStatus.PAUSED: {
        libvirt.VIR_DOMAIN_PAUSED_USER: "by request",
        libvirt.VIR_DOMAIN_PAUSED_MIGRATION: "migrating",
        libvirt.VIR_DOMAIN_PAUSED_SAVE: "saving",
        libvirt.VIR_DOMAIN_PAUSED_IOERROR: "disk error",
        libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "watchdog",
        libvirt.VIR_DOMAIN_PAUSED_SNAPSHOT: "taking a snapshot",
        libvirt.VIR_DOMAIN_PAUSED_CRASHED: "crashed",
        libvirt.VIR_DOMAIN_PAUSED_STARTING_UP: "starting",
    },
    DomainStatus.SHUT_OFF: {
        libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN: "shut down",
        libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED: "destroyed",
        libvirt.VIR_DOMAIN_SHUTOFF_CRASHED: "crashed",
        libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED: "migrated",
        libvirt.VIR_DOMAIN_SHUTOFF_SAVED: "saved",
        libvirt.VIR_DOMAIN_SHUTOFF_FAILED: "failed to start",
        libvirt.VIR_DOMAIN_SHUTOFF_FROM_SNAPSHOT: "from a snapshot",
    },
    DomainStatus.CRASHED: {libvirt.VIR_DOMAIN_CRASHED_PANICKED: "kernel panic"},
}


@dataclass(frozen=True, slots=True)
class DomainFacts:
    """One domain as observed; `mark` fields are empty for foreign domains.

    `reason` explains a status that is not running, where libvirt knows.
    `used_memory_mib` is the guest's own count where its balloon driver reports, else
    QEMU's memory on the host, else 0. The disks' bytes are counted since its start.
    """

    name: str
    uuid: str
    status: DomainStatus
    reason: str
    testbed: str
    guest: str
    spec_hash: str
    cpu_time_ns: int
    vcpus: int
    memory_mib: int
    used_memory_mib: int
    disk_read_bytes: int = 0
    disk_written_bytes: int = 0

    @property
    def is_active(self) -> bool:
        """Return whether the domain has a process."""
        return self.status not in (DomainStatus.SHUT_OFF, DomainStatus.UNKNOWN)


@dataclass(frozen=True, slots=True)
class DomainFiles:
    """A domain's disks and CD-ROMs; `mark` is empty for a foreign domain.

    Those of its definition and, while it runs, of its running configuration, with the
    files below them as far as libvirt reports them.
    """

    name: str
    mark: Mark
    files: frozenset[str]


def describe(domain: libvirt.virDomain, stats: dict[str, int]) -> DomainFacts | None:
    """Describe a domain from its STATS; None when it was undefined meanwhile."""
    try:
        return _facts(domain, stats)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def files_of(domain: libvirt.virDomain) -> DomainFiles | None:
    """List the files of one domain; None when it was undefined meanwhile."""
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


def _facts(domain: libvirt.virDomain, stats: dict[str, int]) -> DomainFacts:
    status = _status(stats.get("state.state", 0))
    mark = mark_of(domain)
    cpu_time_ns = stats.get("cpu.time", 0)
    vcpus = stats.get("vcpu.current", 0)
    memory_kib = stats.get("balloon.current", 0) or stats.get("balloon.maximum", 0)
    if not memory_kib or not vcpus:
        _state, maximum_kib, current_kib, vcpus, cpu_time_ns = domain.info()
        memory_kib = current_kib or maximum_kib
    return DomainFacts(
        name=domain.name(),
        uuid=domain.UUIDString(),
        status=status,
        reason=_REASONS.get(status, {}).get(stats.get("state.reason", 0), ""),
        testbed=mark.testbed,
        guest=mark.guest,
        spec_hash=mark.spec_hash,
        cpu_time_ns=cpu_time_ns,
        vcpus=vcpus,
        memory_mib=memory_kib >> 10,
        used_memory_mib=_used_memory_mib(stats),
        disk_read_bytes=_sum(_READ_BYTES, stats),
        disk_written_bytes=_sum(_WRITTEN_BYTES, stats),
    )


def _status(state: int) -> DomainStatus:
    order = list(DomainStatus)
    return order[state] if state < len(order) else DomainStatus.UNKNOWN


def _sum(keys: re.Pattern[str], stats: dict[str, int]) -> int:
    return sum(count for key, count in stats.items() if keys.fullmatch(key))


def _used_memory_mib(stats: dict[str, int]) -> int:
    if "balloon.available" in stats and "balloon.usable" in stats:
        return (stats["balloon.available"] - stats["balloon.usable"]) >> 10
    return stats.get("balloon.rss", 0) >> 10
