"""The layers below the network: the domain, its disks, and whether anything boots.

QEMU's own log, the file system of the disk and the serial console are the evidence.
"""

import re

from orchestration.instructions.boot.diagnosis.evidence import Diagnosis, Layer, Look
from orchestration.instructions.task import Task
from orchestration.providers.libvirt import domains, problems
from orchestration.providers.libvirt.domain_facts import DomainStatus
from orchestration.providers.libvirt.problems import DiskError
from orchestration.state.model import GuestState

STANDING_STILL = (DomainStatus.PAUSED, DomainStatus.CRASHED, DomainStatus.SUSPENDED)
RESTART = "Start up again: that starts or resumes it. QEMU's own words are below."
QEMU_LOG = "/var/log/libvirt/qemu/{domain}.log"
QEMU_LINES = 8
_SIGNS = (
    (r"Kernel panic - not syncing.*", "its kernel panicked"),
    (r"No bootable device", "its disk has nothing that boots"),
    (r"grub rescue>|error: no such partition", "its boot loader finds no system"),
    (
        r"\(initramfs\)|ALERT!.*does not exist|Entering emergency mode",
        "its kernel finds no root file system",
    ),
    (r"You are in emergency mode.*", "its system started in emergency mode"),
)


def domain(look: Look) -> Diagnosis | None:
    """See that the domain runs; one that stands still for its disk is the disk's."""
    problem = domain_problem(look.task, look.guest)
    if not problem or disk_errors(look):
        return None
    return Diagnosis(
        Layer.DOMAIN,
        problem,
        RESTART,
        _qemu_log(look),
    )


def domain_problem(task: Task, guest: GuestState) -> str:
    """Return why waiting for a guest is useless; empty while its domain runs."""
    found = domains.find(task.host.libvirt, guest.domain)
    if found is None:
        return "its domain is gone"
    if found.is_active and found.status not in STANDING_STILL:
        return ""
    reason = f" ({found.reason})" if found.reason else ""
    return f"its domain is {found.status}{reason}"


def disk(look: Look) -> Diagnosis | None:
    """See that no disk has failed under the guest."""
    errors = disk_errors(look)
    if not errors:
        return None
    first = errors[0]
    if first.is_full:
        words = f"its disk {first.target} stopped: no space is left for {first.path}"
        hint = "Make room in that folder on the host, then start up again."
    else:
        words = f"its disk {first.target} failed: {first.path} gives I/O errors"
        hint = "Look at that file system and at the host's kernel log, then up again."
    space = look.ask("df", "-h", first.path).strip()
    evidence = "\n".join(filter(None, (space, _qemu_log(look))))
    return Diagnosis(Layer.DISK, words, hint, evidence)


def disk_errors(look: Look) -> tuple[DiskError, ...]:
    """Return the disks that libvirt knows as failed."""
    return problems.disk_errors(look.task.host.libvirt, look.guest.domain)


def boot(look: Look) -> Diagnosis | None:
    """See that a system started: the console shows it, or at least a packet."""
    text = look.console
    if words := boot_failure(text):
        hint = "Its console is below. Fix its image, then Up with Recreate disks."
        return Diagnosis(Layer.BOOT, words, hint)
    if text or _has_sent(look):
        return None
    disk_info = ("qemu-img", "info", "-U", look.guest.disk)
    return Diagnosis(
        Layer.BOOT,
        "no system seems to boot from its disk: it printed nothing on its console "
        "and sent nothing on its network",
        "See that its image holds a system for this processor, with a serial console.",
        look.ask(*disk_info).strip() if look.guest.disk else "",
    )


def boot_failure(console: str) -> str:
    """Return what the end of a console says of a boot that failed; else nothing."""
    signs = (words for pattern, words in _SIGNS if re.search(pattern, console))
    return next(signs, "")


def _has_sent(look: Look) -> bool:
    """Say whether the guest sent a packet; True where nobody counted."""
    if look.way is None:
        return True
    stats = look.device(look.way.tap).get("stats64")
    match stats:
        case {"rx": {"packets": int(packets)}}:
            return packets > 0
        case _:
            return True


def _qemu_log(look: Look) -> str:
    path = QEMU_LOG.format(domain=look.guest.domain)
    said = look.ask("tail", "-n", str(QEMU_LINES), path).strip()
    return f"QEMU's log ({path}):\n{said}" if said else ""
