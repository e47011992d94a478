"""Reads a host's load, its disk, and whether its KVM is usable, from its kernel.

A present /dev/kvm proves nothing: guests hang on it where the processor has neither vmx
nor svm (seen on virtual machines without nested virtualisation). And where libvirt's
user cannot open it, each definition of a domain takes 40 s (measured).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestration.transport.base import Scope, Transport, command

# One shell call: the load, the processor's flags, the device's group and mode, the time
# of all processors by use (proc_stat(5)), the file system of the folder.
_LOOK = """\
cut -d' ' -f1 /proc/loadavg
grep -cwE 'vmx|svm' /proc/cpuinfo
uname -m
stat -c '%G %a' /dev/kvm 2>/dev/null || echo none
head -n 1 /proc/stat
df -kP "$1" 2>/dev/null | tail -n 1
"""
_ARM = "aarch64"
# USER_HZ, the unit of /proc/stat, is 100 on every Linux of today.
_TICKS_PER_S = 100


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the one-minute average; `remark` names the problem to fix.

    `cpu_busy_s` and `cpu_total_s` are seconds of all CPUs together since the boot. The
    disk is the file system of the guests' disks. 0 stands for what it did not say.
    """

    load: float
    kvm: bool
    remark: str = ""
    hint: str = ""
    cpu_busy_s: float = 0.0
    cpu_total_s: float = 0.0
    disk_bytes: int = 0
    disk_free_bytes: int = 0


def observe(transport: Transport, folder: str, *, scope: Scope) -> Machine:
    """Read a machine's facts, with the disk below `folder`. Raises: HostUnreachable."""
    look = command("sh", "-c", _LOOK, "sh", folder)
    text = transport.run(look, scope=scope, check=False).stdout
    lines = [*text.splitlines(), "", "", "", "", "", ""]
    busy_s, total_s = _cpu_s(lines[4])
    size, free = _disk_bytes(lines[5])
    return replace(
        _parse(lines, transport.machine),
        cpu_busy_s=busy_s,
        cpu_total_s=total_s,
        disk_bytes=size,
        disk_free_bytes=free,
    )


def _cpu_s(line: str) -> tuple[float, float]:
    """Return the busy seconds and all of them; guests' are in those of users."""
    name, *words = line.split() or [""]
    if name != "cpu" or len(words) < 5:
        return 0.0, 0.0
    ticks = [int(word) for word in words[:8]]
    idle = ticks[3] + ticks[4]  # the second waits for disks
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def _disk_bytes(line: str) -> tuple[int, int]:
    """Return a file system's size and what of it is free for us."""
    words = line.split()
    if len(words) < 6 or not (words[1] + words[3]).isdigit():
        return 0, 0
    return int(words[1]) << 10, int(words[3]) << 10


def _parse(lines: Sequence[str], machine: str) -> Machine:
    load = float(lines[0]) if lines[0].replace(".", "", 1).isdigit() else 0.0
    device = lines[3].split()
    if len(device) != 2:
        return Machine(load, kvm=False)
    group, mode = device
    is_open = mode[-1] in "67" or (group == "kvm" and mode[-2:-1] in {"6", "7"})
    has_extension = lines[1] not in {"", "0"} or lines[2] == _ARM
    if is_open:
        return Machine(load, kvm=has_extension)
    return Machine(
        load,
        kvm=False,
        remark=f"On {machine} libvirt's user may not open /dev/kvm: each guest's "
        "definition takes 40 s.",
        hint="Run there: chgrp kvm /dev/kvm; chmod 660 /dev/kvm",
    )
