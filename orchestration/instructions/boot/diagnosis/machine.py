"""Probes the layers below the network: the domain, its disks, the start of a system.

QEMU's own log, the file system of the disk and the serial console are the evidence.
"""

import re

from orchestration.instructions.boot.diagnosis.evidence import (
    Diagnosis,
    Evidence,
    Layer,
)
from orchestration.instructions.task import Task
from orchestration.providers.libvirt import domains, problems
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.problems import DiskError
from orchestration.state.model import GuestState

STANDING_STILL = (DomainStatus.PAUSED, DomainStatus.CRASHED, DomainStatus.SUSPENDED)
RESTART = "Start up again: that starts or resumes it. QEMU's own words are below."
QEMU_LOG = "/var/log/libvirt/qemu/{domain}.log"
QEMU_LINES = 8
# Each start logs QEMU's whole command line, one option a line, with the uuid.
QEMU_LINES_READ = 1000
QEMU_STARTS = ": starting up libvirt version"
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


def domain(evidence: Evidence) -> Diagnosis | None:
    """Check that the domain runs; one paused by a disk error belongs to `disk`."""
    problem = domain_problem(evidence.task, evidence.guest)
    if not problem or disk_errors(evidence):
        return None
    return Diagnosis(
        Layer.DOMAIN,
        problem,
        RESTART,
        _qemu_log(evidence),
    )


def domain_problem(task: Task, guest: GuestState) -> str:
    """Return why waiting for a guest is useless; empty while its domain runs."""
    found = domains.find(task.host.libvirt, task.domain(guest))
    if found is None:
        return "its domain is gone"
    if found.is_active and found.status not in STANDING_STILL:
        return ""
    reason = f" ({found.reason})" if found.reason else ""
    return f"its domain is {found.status}{reason}"


def disk(evidence: Evidence) -> Diagnosis | None:
    """Check that no disk has failed under the guest."""
    errors = disk_errors(evidence)
    if not errors:
        return None
    first = errors[0]
    if first.is_full:
        words = f"its disk {first.target} stopped: no space is left for {first.path}"
        hint = "Make room in that folder on the host, then start up again."
    else:
        words = f"its disk {first.target} failed: {first.path} gives I/O errors"
        hint = "Look at that file system and at the host's kernel log, then up again."
    space = evidence.ask("df", "-h", first.path).strip()
    texts = filter(None, (space, _qemu_log(evidence)))
    return Diagnosis(Layer.DISK, words, hint, "\n".join(texts))


def disk_errors(evidence: Evidence) -> tuple[DiskError, ...]:
    """Return the disks that libvirt reports as failed."""
    return problems.disk_errors(evidence.task.host.libvirt, evidence.domain)


def boot(evidence: Evidence) -> Diagnosis | None:
    """Check that a system started: by its console, or at least by a packet."""
    text = evidence.read_console()
    if words := boot_failure(text):
        hint = "Its console is below. Fix its image, then Up with Recreate disks."
        return Diagnosis(Layer.BOOT, words, hint)
    if text or _has_sent(evidence):
        return None
    disk_info = ("qemu-img", "info", "-U", "-f", "qcow2", evidence.guest.disk)
    return Diagnosis(
        Layer.BOOT,
        "no system seems to boot from its disk: it printed nothing on its console "
        "and sent nothing on its network",
        "See that its image holds a system for this processor, with a serial console.",
        evidence.ask(*disk_info).strip() if evidence.guest.disk else "",
    )


def boot_failure(console: str) -> str:
    """Return the lines at a console's end that show a failed boot; else nothing."""
    signs = (words for pattern, words in _SIGNS if re.search(pattern, console))
    return next(signs, "")


def _has_sent(evidence: Evidence) -> bool:
    """Return whether the guest sent a packet; True where no counter exists."""
    if evidence.way is None:
        return True
    stats = evidence.device(evidence.way.tap).get("stats64")
    match stats:
        case {"rx": {"packets": int(packets)}}:
            return packets > 0
        case _:
            return True


def _qemu_log(evidence: Evidence) -> str:
    """Return the end of QEMU's log, if its last start was that of this guest.

    The file belongs to a name, which another domain may have had or have.
    """
    path = QEMU_LOG.format(domain=evidence.guest.domain)
    text = evidence.ask("tail", "-n", str(QEMU_LINES_READ), path)
    _, _, last = text.rpartition(QEMU_STARTS)
    if evidence.guest.uuid not in last:
        return ""
    said = "\n".join(last.strip().splitlines()[-QEMU_LINES:])
    return f"QEMU's log ({path}):\n{said}"
