"""Reads libvirt's facts about a testbed host itself.

The host check compares them with the admin's entries, and the web shows them. Whether
acceleration really works is not decided here: libvirt lists `kvm` whenever the device
exists, also on processors where a guest then hangs (see `linux/machine.py`).
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import libvirt

from orchestration.providers.libvirt.connection import Connection, is_test_driver


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A host's size and hypervisor; `kvm` as libvirt sees it.

    `free_memory_mib` counts caches that the kernel would give back.
    `version` is the hypervisor's: "7.2.22".
    """

    cpus: int
    memory_mib: int
    free_memory_mib: int
    hypervisor: str
    version: str
    kvm: bool


def node_facts(conn: Connection) -> NodeFacts:
    """Ask a host for its facts. Raises: HostUnreachable, LibvirtFailed."""
    return conn.call("describe itself", _node_facts)


def _node_facts(handle: libvirt.virConnect) -> NodeFacts:
    _model, _memory, cpus, *_topology = handle.getInfo()
    memory_mib, free_memory_mib = _memory_mib(handle)
    return NodeFacts(
        cpus=cpus,
        memory_mib=memory_mib,
        free_memory_mib=free_memory_mib,
        hypervisor=handle.getType(),
        version=_dotted(handle.getVersion()),
        kvm=_offers_kvm(handle.getCapabilities()),
    )


def _memory_mib(handle: libvirt.virConnect) -> tuple[int, int]:
    """Return total and free memory.

    getInfo() adds up NUMA cells, which on some virtual machines do not cover all of
    it: 5.7 GiB of 24 were seen.
    """
    if is_test_driver(handle):
        total_mib = handle.getInfo()[1]
        running = handle.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
        return total_mib, total_mib - sum(d.info()[2] >> 10 for d in running)
    stats = handle.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)
    free_kib = sum(int(stats.get(key, 0)) for key in ("free", "buffers", "cached"))
    return int(stats["total"]) >> 10, free_kib >> 10


def _dotted(version: int) -> str:
    return f"{version // 1_000_000}.{version // 1_000 % 1_000}.{version % 1_000}"


def _offers_kvm(capabilities: str) -> bool:
    # The text comes from libvirtd itself, not from a user.
    root = ET.fromstring(capabilities)  # nosec B314  # noqa: S314
    return root.find("./guest/arch/domain[@type='kvm']") is not None
