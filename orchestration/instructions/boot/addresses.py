"""Checks that a ready guest has the addresses that the state and DNS give for it.

DHCP may give another address than the reserved one, or none, while the guest is
reachable over its management interface and everything else works.
"""

import time
from collections.abc import Mapping

from orchestration.errors import HostUnreachable, TestbedError
from orchestration.instructions.task import Task
from orchestration.providers.guest.addresses import Addresses, read_addresses
from orchestration.providers.libvirt import networks
from orchestration.state.model import GuestState, InterfaceState
from orchestration.transport.base import Transport

# An interface may get its address some seconds after the guest accepts a login.
ADDRESS_TIMEOUT_S = 15.0
LOOK_EVERY_S = 1.0


def address_problems(
    task: Task, guest: GuestState, transport: Transport
) -> tuple[str, ...]:
    """Return a sentence for each interface without its address.

    A script may change fixed addresses, so they are checked only before it ran.
    Raises: Cancelled.
    """
    wanted = [
        i
        for i in guest.interfaces
        if i.address and (i.dhcp or not guest.markers.script)
    ]
    if not (wanted and task.host.state.boots_guests):
        return ()
    try:
        found = _found(task, transport, {i.address for i in wanted})
    except HostUnreachable:  # the next command in the guest reports it
        return ()
    everywhere = {address for some in found.values() for address in some}
    missing = [i for i in wanted if i.address not in everywhere]
    leases = _leases(task) if found and any(i.dhcp for i in missing) else {}
    return tuple(_sentence(i, found, leases) for i in missing if found)


def _found(task: Task, transport: Transport, wanted: set[str]) -> Addresses:
    """Read the guest's addresses until all wanted ones are there, or time is up."""
    deadline_s = time.monotonic() + ADDRESS_TIMEOUT_S
    while True:
        found = read_addresses(transport, scope=task.scope)
        there = {address for some in found.values() for address in some}
        if not found or wanted <= there or time.monotonic() >= deadline_s:
            return found
        task.scope.sleep(LOOK_EVERY_S)


def _leases(task: Task) -> Mapping[str, str]:
    """Return the NAT network's leases by MAC; empty when they cannot be read."""
    nat = task.state.network.nat
    if nat is None:
        return {}
    host = task.hosts.open(task.state.host(nat.host))
    try:
        return networks.leases(host.libvirt, nat.network, testbed=task.state.testbed)
    except TestbedError:
        task.scope.check_cancelled()
        return {}


def _sentence(
    interface: InterfaceState, found: Addresses, leases: Mapping[str, str]
) -> str:
    has = ", ".join(a for a in found.get(interface.name, ()) if ":" not in a)
    words = f"{interface.name} has {has or 'no address'} in place of"
    return f"{words} {interface.address}{_reason(interface, leases)}"


def _reason(interface: InterfaceState, leases: Mapping[str, str]) -> str:
    if not interface.dhcp:
        return ""
    owners = [mac for mac, address in leases.items() if address == interface.address]
    mac = interface.mac.lower()
    if owners and mac not in owners:
        return f": DHCP has it leased to {owners[0]}"
    if mac not in leases:
        return f": DHCP gave {mac} no lease"
    return ""
