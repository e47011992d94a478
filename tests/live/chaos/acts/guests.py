"""Acts on guests past the product: on libvirt's domains, on QEMU, and from inside."""

import os
import signal
from pathlib import Path

from orchestration.state.model import GuestState
from tests.live.chaos.acts.act import Act, Family, running
from tests.live.chaos.lab import Lab, Testbed
from tests.live.watch import Guest, wait_until

GuestPlace = tuple[Testbed, GuestState]


def destroy(lab: Lab, place: GuestPlace) -> None:
    """Power a guest off."""
    _virsh(lab, place, "destroy")


def undefine(lab: Lab, place: GuestPlace) -> None:
    """Remove a guest's domain."""
    _virsh(lab, place, "destroy")
    _virsh(lab, place, "undefine")


def kill_qemu(lab: Lab, place: GuestPlace) -> None:
    """Kill a guest's QEMU, as the kernel does when memory is short."""
    testbed, guest = place
    lab.touch(testbed, guest.name)
    pid = (
        lab.host(guest.host).run("cat", f"/run/libvirt/qemu/{guest.domain}.pid").strip()
    )
    assert guest.domain in Path(f"/proc/{pid}/cmdline").read_text()
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: not _runs(lab, guest), f"libvirt does not miss {guest.domain}")


def suspend(lab: Lab, place: GuestPlace) -> None:
    """Pause a guest; Up lets the same boot go on."""
    guest = place[1]
    lab.host(guest.host).run("virsh", "-q", "suspend", guest.domain)


def resume(lab: Lab, place: GuestPlace) -> None:
    """Let a paused guest go on."""
    guest = place[1]
    lab.host(guest.host).run("virsh", "-q", "resume", guest.domain)


def reset(lab: Lab, place: GuestPlace) -> None:
    """Press a guest's reset button: another boot of the same run."""
    _virsh(lab, place, "reset")


def reboot_inside(lab: Lab, place: GuestPlace) -> None:
    """Reboot a guest from inside."""
    testbed, guest = place
    lab.touch(testbed, guest.name)
    inside = Guest(lab.stack, testbed.slug, guest.name)
    boot = inside.boot
    try:
        inside.run("/usr/sbin/reboot < /dev/null > /dev/null 2>&1 &")
    except AssertionError:
        lab.say("    it cut off who asked")
    wait_until(
        lambda: _boot(inside) not in ("", boot), f"{guest.name} does not come back"
    )


def power_off_inside(lab: Lab, place: GuestPlace) -> None:
    """Power a guest off from inside."""
    testbed, guest = place
    lab.touch(testbed, guest.name)
    inside = Guest(lab.stack, testbed.slug, guest.name)
    try:
        inside.run("/usr/sbin/poweroff < /dev/null > /dev/null 2>&1 &")
    except AssertionError:
        lab.say("    it cut off who asked")
    wait_until(lambda: not _runs(lab, guest), f"{guest.name} does not power off")


def paused(lab: Lab) -> list[GuestPlace]:
    """Return the paused guests."""
    return lab.guests("paused")


def entered(lab: Lab) -> list[GuestPlace]:
    """Return the guests that were entered at the last check, and still can be."""
    return [
        (testbed, guest)
        for testbed, guest in running(lab)
        if (testbed.slug, guest.name) in lab.boots and testbed in lab.whole()
    ]


def _virsh(lab: Lab, place: GuestPlace, verb: str) -> None:
    testbed, guest = place
    lab.touch(testbed, guest.name)
    lab.host(guest.host).run("virsh", "-q", verb, guest.domain)


def _runs(lab: Lab, guest: GuestState) -> bool:
    return (
        guest.domain
        in lab.host(guest.host).run("virsh", "-q", "list", "--name").split()
    )


def _boot(inside: Guest) -> str:
    try:
        return inside.boot
    except AssertionError:
        return ""


ACTS = (
    Act(Family.KILL, "destroy a guest", running, destroy),
    Act(Family.DELETE, "undefine a guest", running, undefine),
    Act(Family.KILL, "kill a QEMU", running, kill_qemu),
    Act(Family.KILL, "suspend a guest", running, suspend),
    Act(Family.KILL, "resume a guest", paused, resume, weight=1),
    Act(Family.KILL, "reset a guest", running, reset),
    Act(Family.KILL, "reboot a guest from inside", entered, reboot_inside, weight=1),
    Act(
        Family.KILL,
        "power a guest off from inside",
        entered,
        power_off_inside,
        weight=1,
    ),
)
