"""Keeps the host itself silent on a running guest's taps, which libvirt made.

With Open vSwitch's userspace datapath the kernel reads what taps carry, too.
"""

from orchestration.instructions.task import Task
from orchestration.providers.linux import ip_link
from orchestration.state.model import GuestState


def silence_host_on_taps(task: Task, guest: GuestState) -> None:
    """Let the host not speak on the guest's taps; a simulated guest has none."""
    taps = [interface.tap for interface in guest.interfaces]
    taps += [guest.management.tap] if guest.management else []
    if taps and task.host.state.boots_guests:
        ip_link.silence_host(task.host.transport, taps, scope=task.scope)
