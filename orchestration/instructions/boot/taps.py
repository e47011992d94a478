"""Switches IPv6 off for a running guest's taps, which libvirt made.

With Open vSwitch's userspace datapath the kernel reads what taps carry, too.
"""

from orchestration.instructions.task import Task
from orchestration.providers.linux import ip_link
from orchestration.state.model import GuestState


def switch_ipv6_off(task: Task, guest: GuestState) -> None:
    """Give the guest's taps no IPv6; a simulated guest has none."""
    taps = [interface.tap for interface in guest.interfaces]
    taps += [guest.management.tap] if guest.management else []
    if taps and task.host.state.boots_guests:
        ip_link.without_ipv6(task.host.transport, taps, scope=task.scope)
