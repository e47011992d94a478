"""Reads a host's load, and whether its KVM is usable, from its kernel.

A present /dev/kvm proves nothing: guests hang on it where the processor has neither vmx
nor svm (seen on virtual machines without nested virtualisation). And where libvirt's
user cannot open it, each definition of a domain takes 40 s (measured).
"""

from dataclasses import dataclass

from orchestration.transport.base import Scope, Transport, command

# One shell call: the load, the processor's flags, the device's group and mode.
_LOOK = """\
cut -d' ' -f1 /proc/loadavg
grep -cwE 'vmx|svm' /proc/cpuinfo
uname -m
stat -c '%G %a' /dev/kvm 2>/dev/null || echo none
"""
_ARM = "aarch64"


@dataclass(frozen=True, slots=True)
class Machine:
    """`load` is the one-minute average; `remark` names the problem to fix."""

    load: float
    kvm: bool
    remark: str = ""
    hint: str = ""


def observe(transport: Transport, *, scope: Scope) -> Machine:
    """Read a machine's facts. Raises: HostUnreachable."""
    completed = transport.run(command("sh", "-c", _LOOK), scope=scope, check=False)
    return _parse(completed.stdout, transport.machine)


def _parse(text: str, machine: str) -> Machine:
    lines = [*text.splitlines(), "", "", "", "", ""]
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
