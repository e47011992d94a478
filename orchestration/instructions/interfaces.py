"""The instruction that changes a guest's interfaces while it runs.

`state.diff.interfaces` decides when that can be done. The instruction reads the running
domain and its switch, not a state, so that a half-done change is continued. From the
beginning to the end of the change the domain carries no spec hash, so that it cannot be
taken for one that has the settings of either state.
"""

from orchestration.errors import GuestUnreachable
from orchestration.instructions.artefacts import local_artefact
from orchestration.instructions.boot.reaching import wait_until_reachable
from orchestration.instructions.boot.taps import silence_host_on_taps
from orchestration.instructions.storage.disks import define
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.providers.guest import network
from orchestration.providers.guest.cloud_init import READY_FILE
from orchestration.providers.libvirt import devices, domains
from orchestration.providers.libvirt.xml.domain import interface_identity
from orchestration.providers.ovs import taps
from orchestration.state.model import GuestState, InterfaceState
from orchestration.transport.base import Transport, command

SEED = devices.disk("vdb")
UNPLUG_TIMEOUT_S = 30.0
# A guest may not notice, or report, that a cable was away for a shorter time.
CABLE_OUT_S = 1.0


def change_interfaces(task: Task) -> Outcome:
    """Give one running guest the interfaces that its state has, without a restart.

    A guest that does not run gets them when it is started.
    """
    guest, conn = task.state.guest(task.resource.key), task.host.libvirt
    found = domains.find(conn, task.domain(guest))
    if found is None or not found.is_active:
        return unchanged("does not run")
    if found.spec_hash == guest.spec_hash:
        return unchanged("has the wanted settings already")
    domains.start(conn, task.domain(guest))  # a paused guest cannot release a device
    transport = _logged_in(task, guest) if guest.seed else None
    _set_spec_hash(task, guest, "")
    define(task, guest)
    if task.host.state.plugs_devices:
        _replug(task, guest, local_artefact(task, guest.xml).read_text())
        _move(task, guest)
    if transport is not None:
        before = _before(task, guest)
        network.change_network(transport, guest, before, scope=task.scope)
    _set_spec_hash(task, guest, guest.spec_hash)
    return done("without a restart")


def _logged_in(task: Task, guest: GuestState) -> Transport:
    """Wait for its first boot, which used other settings."""
    ready = command("test", "-e", READY_FILE)
    return wait_until_reachable(task, guest, ready=ready)


def _set_spec_hash(task: Task, guest: GuestState, spec_hash: str) -> None:
    devices.set_spec_hash(task.host.libvirt, task.domain(guest), spec_hash)


def _before(task: Task, guest: GuestState) -> tuple[InterfaceState, ...]:
    known = task.project.read_known().guests
    place = (guest.name, guest.host)
    return next((g.interfaces for g in known if (g.name, g.host) == place), ())


def _replug(task: Task, guest: GuestState, text: str) -> None:
    """Unplug removed interfaces, plug in new ones, and attach the current seed.

    The guest would otherwise boot with the seed that it was started with: its CD-ROM
    still is the file that the new one has replaced.
    """
    conn, domain = task.host.libvirt, task.domain(guest)
    there = devices.plugged(conn, domain)
    wanted = _interfaces(guest)
    names = {devices.interface(i.mac): i.name for i in _before(task, guest)}
    gone = [d for d in there if d.kind == "interface" and d not in wanted]
    seeds = {SEED: "its seed"} if guest.seed else {}
    for device in sorted((*gone, *(there & seeds.keys()))):
        what = {**names, **seeds}.get(device, device.key)
        _unplug(task, guest, device, what)
    new = {d: name for d, name in wanted.items() if d not in there}
    for device, what in {**new, **seeds}.items():
        devices.plug(conn, domain, devices.device_text(text, device))
        task.log(f"{what} is plugged in")
    silence_host_on_taps(task, guest)


def _interfaces(guest: GuestState) -> dict[devices.Device, str]:
    found = {devices.interface(i.mac): i.name for i in guest.interfaces}
    if guest.management is not None:
        found[devices.interface(guest.management.mac)] = guest.management.name
    return found


def _unplug(task: Task, guest: GuestState, device: devices.Device, what: str) -> None:
    is_gone = devices.unplug(
        task.host.libvirt,
        task.domain(guest),
        device,
        sleep=task.scope.sleep,
        timeout_s=UNPLUG_TIMEOUT_S,
    )
    if not is_gone:
        raise GuestUnreachable(
            f"Guest {guest.name} on {guest.host} did not let go of {what} within "
            f"{UNPLUG_TIMEOUT_S:.0f} s; it runs on.",
            hint="Shut the guest down and start up again: it then boots with its new "
            "interfaces. Or start up again to ask it once more.",
            retryable=True,
        )
    task.log(f"{what} is unplugged")


def _move(task: Task, guest: GuestState) -> None:
    """Put each tap on its bridge; the guest sees its cable out and in again.

    That makes a DHCP client ask again. A loose tap, whose bridge was removed by the
    edit, was attached when its new bridge was ensured: the guest has not seen that.
    """
    conn, domain = task.host.libvirt, task.domain(guest)
    device_of = {i.name: i.device for i in _before(task, guest)}
    moved = [
        interface
        for interface in guest.interfaces
        if put_on_bridge(task, guest, interface)
        or device_of.get(interface.name, interface.device) != interface.device
    ]
    try:
        for interface in moved:
            devices.set_link(conn, domain, interface.mac, is_up=False)
        if moved:
            task.scope.sleep(CABLE_OUT_S)
    finally:
        for interface in moved:
            devices.set_link(conn, domain, interface.mac, is_up=True)


def put_on_bridge(task: Task, guest: GuestState, interface: InterfaceState) -> bool:
    """Put one tap on its bridge, with libvirt's external ids; False: it was there."""
    is_moved = taps.ensure_tap(
        task.host.transport,
        interface.device,
        interface.tap,
        identity={
            "attached-mac": interface.mac,
            "iface-id": interface_identity(guest, interface),
            "iface-status": "active",
            "vm-id": guest.uuid,
        },
        scope=task.scope,
    )
    if is_moved:
        task.log(f"{interface.name} is moved to {interface.bridge}")
    return is_moved
