"""Rules about the testbed hosts: their names, memory and processors.

Part of `compose/check.py`. `KnownHost` is a protocol, so that this layer does not
depend on the state; a size of 0 means that the host was not examined yet. Without any
host nothing is checked: a YAML can be checked on a laptop. Pure.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from orchestration.compose.draft import Draft
from orchestration.compose.language.schema import Libvirt
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import Finding


class KnownHost(Protocol):
    """The facts about a testbed host that the rules use."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def is_main(self) -> bool:
        """Whether it is the main host."""

    @property
    def address(self) -> str:
        """Its address; empty when unknown."""

    @property
    def tunnel_address(self) -> str:
        """The address where its tunnels end; empty when it is `address`."""

    @property
    def cpus(self) -> int:
        """Its processors; 0 when unknown."""

    @property
    def memory_mib(self) -> int:
        """Its memory; 0 when unknown."""


def check_hosts(
    draft: Draft, positions: Positions, hosts: Sequence[KnownHost]
) -> Iterator[Finding]:
    """Check the hosts that the draft names and the resources that it needs."""
    if not hosts:
        return
    yield from _sizes(draft, positions, hosts)
    names = [host.name for host in hosts]
    mains = [host.name for host in hosts if host.is_main]
    for path, name, must_be_main in _named(draft):
        if name not in names:
            yield positions.error(
                path, f"Unknown testbed host `{name}`.", f"Hosts: {', '.join(names)}."
            )
        elif must_be_main and name not in mains:
            yield positions.error(
                path,
                f"`{name}` is not the main host; only its network cards can be used.",
                f"The main host is {', '.join(mains) or 'not known'}.",
            )


def _sizes(
    draft: Draft, positions: Positions, hosts: Sequence[KnownHost]
) -> Iterator[Finding]:
    memory = [host.memory_mib for host in hosts if host.memory_mib]
    cpus = [host.cpus for host in hosts if host.cpus]
    for drafted in draft.machines:
        kind, path = drafted.machine.kind, drafted.kind_path
        if not isinstance(kind, Libvirt):
            continue
        if len(memory) == len(hosts) and kind.memory_mb > max(memory):
            yield positions.error(
                (*path, "memory_mb"),
                f"No testbed host has {kind.memory_mb} MiB of memory; the largest has "
                f"{max(memory)}.",
                "Ask for less.",
            )
        if len(cpus) == len(hosts) and kind.cpus > max(cpus):
            yield positions.warning(
                (*path, "cpus"),
                f"No testbed host has {kind.cpus} CPUs; the largest has "
                f"{max(cpus)}. The guest will be slow.",
                "Ask for fewer.",
            )


def _named(draft: Draft) -> Iterator[tuple[Path, str, bool]]:
    """Yield every host that is named, and whether it must be the main one."""
    network = draft.network
    if network is None:
        return
    for index, card in enumerate(network.network_interfaces):
        path: Path = ("network", "network_interfaces", index, "testbed_host")
        yield path, card.testbed_host, True
    if network.ovn is None:
        return
    for name, switch in network.ovn.switches.items():
        for index, port in enumerate(switch.ports):
            path = ("network", "ovn", "switches", name, "ports", index, "chassis")
            if port.chassis is not None:
                yield path, port.chassis, False
    for name, router in network.ovn.routers.items():
        for index, gate in enumerate(router.ports):
            path = ("network", "ovn", "routers", name, "ports", index)
            if gate.set_gateway_chassis is not None:
                yield (*path, "set_gateway_chassis"), gate.set_gateway_chassis, False
