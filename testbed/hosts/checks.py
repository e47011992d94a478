"""Adds and checks testbed hosts, and looks at their network.

`manage.py check_hosts` calls `check_host`; the periodic observation keeps the rows up
to date in between. Pages and plans only read the rows.
"""

from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from orchestration.errors import HostUnreachable, TestbedError
from orchestration.hosts import Host as OpenHost
from orchestration.hosts import HostFacts, Hosts, examine, host_network
from orchestration.providers.linux import firewall
from orchestration.state.model import HostNetwork
from orchestration.state.overlaps import HINT, pool_overlaps
from orchestration.state.topology import is_address
from orchestration.terminal import plain
from orchestration.transport.base import Scope
from orchestration.transport.names import addresses_of
from testbed.models import Host

# Addresses, routes and firewalls change rarely, and reading them is not cheap.
NETWORK_LASTS = timedelta(minutes=10)
OBSERVED = (
    "resolved_address",
    "network",
    "network_seen_at",
    "cpus",
    "memory_mib",
    "free_memory_mib",
    "load",
    "domain_type",
    "datapath",
    "problem",
    "remark",
    "versions",
    "checked_at",
)
_FIREWALL_HINT = (
    'There: set firewall_backend = "iptables" in /etc/libvirt/network.conf and restart '
    "libvirtd; or let the firewall forward (Docker, ufw)."
)


def add_host(host: Host) -> Host:
    """Save a new host with the results of its check. Raises: TestbedError."""
    host.resolved_address = None
    hosts = Hosts(Path(settings.RUNTIME_DIR))
    try:
        _note(host, hosts)
    finally:
        hosts.close()
    host.save()
    return host


def check_host(host: Host, hosts: Hosts) -> None:
    """Check a host, and save its answer or the reason why there is none."""
    try:
        _note(host, hosts)
    except TestbedError as exc:
        host.problem = exc.sentence
    host.checked_at = timezone.now()
    # Only this: a lab admin may have edited or drained it meanwhile.
    host.save(update_fields=None if host._state.adding else OBSERVED)


def resolve(host: Host) -> None:
    """Save the address of a host's name, once: tunnels that are up end there.

    Raises: HostUnreachable (the name is not known).
    """
    is_name = bool(host.address) and not is_address(host.address)
    if is_name and host.to_state().has_network and not host.resolved_address:
        host.resolved_address = addresses_of(host.address)[0]


def has_old_network(host: Host) -> bool:
    """Return whether the host's network has to be looked at again."""
    seen_at, now = host.network_seen_at, timezone.now()
    return seen_at is None or not now - NETWORK_LASTS < seen_at <= now


def remark_of(host: Host, facts: HostFacts) -> str:
    """Return what has to be mended on a host that is online; empty when nothing has."""
    network = host.own_network
    found = [f"{facts.remark} {facts.hint}".strip(), network.moved]
    overlaps = pool_overlaps(network, settings.ADDRESS_POOLS, is_main=host.is_main)
    found += [f"On {host.name} {text}." for text in overlaps]
    found += [HINT] if overlaps else []
    if host.has_firewall:
        found += firewall.problem(host.name, network)
    # Guests reach the outside over main only.
    if network.drops_forwards and host.is_main:
        found.append(
            f"On {host.name} libvirt uses nftables, and another firewall drops what it "
            f"forwards: guests reach nothing outside. {_FIREWALL_HINT}"
        )
    return " ".join(filter(None, found))


def _moved(host: Host) -> str:
    """Return a sentence when the name of a host has another address by now."""
    if not host.resolved_address:
        return ""
    try:
        found = addresses_of(host.address)
    except HostUnreachable as exc:
        return f"{exc.message} {exc.hint}"
    if host.resolved_address in found:
        return ""
    return (
        f"The name {host.address} of {host.name} leads to {found[0]} now, and to "
        f"{host.resolved_address} when it was added; tunnels still end there. Run "
        "add_host for it again, then use Down and Up for its testbeds."
    )


def versions_of(facts: HostFacts) -> dict[str, str]:
    """Return the versions that a host said, by program; its text has no end."""
    found = {"QEMU": facts.qemu_version, "Open vSwitch": facts.switch_version}
    return {name: plain(said)[:40] for name, said in found.items() if said}


def look_at_network(host: Host, opened: OpenHost) -> HostNetwork:
    """Look at a host's network from inside and at its name from main.

    Raises: HostUnreachable.
    """
    seen = host_network(opened, scope=Scope())
    return seen.model_copy(update={"moved": _moved(host)})


def _note(host: Host, hosts: Hosts) -> None:
    resolve(host)
    opened = hosts.open(host.to_state())
    facts = examine(opened, scope=Scope())
    host.network = look_at_network(host, opened).model_dump(mode="json")
    host.network_seen_at = timezone.now()
    host.cpus, host.memory_mib = facts.cpus, facts.memory_mib
    host.free_memory_mib, host.load = facts.free_memory_mib, facts.load
    host.domain_type, host.datapath = facts.domain_type, facts.datapath
    host.versions = versions_of(facts)
    host.problem, host.remark = "", remark_of(host, facts)
    host.checked_at = timezone.now()
