"""Measures a host's pressure: stalled time, load, free memory.

The kernel counts in /proc/pressure the time in which something had to wait for
processors, disks or memory; two samples give the share of the time between them.
Kernels without it are judged by their load. `boot/pacing.py` limits the boots by it.
"""

import re
from dataclasses import dataclass

from orchestration.transport.base import Scope, Transport, command

LOOK_TIMEOUT_S = 10.0
_LOOK = """\
cat /proc/uptime /proc/loadavg
grep -E '^(MemTotal|MemAvailable):' /proc/meminfo
grep -c ^processor /proc/cpuinfo
for what in cpu io memory; do
  sed -n "s/^some/$what/p" "/proc/pressure/$what" 2>/dev/null
done
true
"""
_PRESSURE = re.compile(r"^(cpu|io|memory) avg10=([0-9.]+) .*total=([0-9]+)$", re.M)
_MEMORY = re.compile(r"^(MemTotal|MemAvailable):\s+([0-9]+) kB$", re.M)
_MICROSECONDS = 1_000_000
# Samples further apart leave too long a gap: the kernel's own average counts.
_APART_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. `stalled_us` and `average` (percent of 10 s) are by resource.

    Both are empty where the kernel does not count.
    """

    uptime_s: float
    load: float
    cpus: int
    memory_mib: int
    free_memory_mib: int
    stalled_us: dict[str, int]
    average: dict[str, float]


@dataclass(frozen=True, slots=True)
class Pressure:
    """The share of time (percent) in which something waited for each resource."""

    cpu: float = 0.0
    io: float = 0.0
    memory: float = 0.0
    free_memory_mib: int = 0
    memory_mib: int = 0
    cpus: int = 1


def observe(transport: Transport, *, scope: Scope) -> Sample:
    """Take a sample of a machine. Raises: HostUnreachable, Cancelled."""
    completed = transport.run(
        command("sh", "-c", _LOOK), scope=scope, timeout_s=LOOK_TIMEOUT_S, check=False
    )
    return parse(completed.stdout)


def parse(text: str) -> Sample:
    """Parse the output of the script; missing parts count as nothing."""
    lines = [*text.splitlines(), "", ""]
    memory = {name: int(kib) >> 10 for name, kib in _MEMORY.findall(text)}
    counted = _PRESSURE.findall(text)
    cpus = next((int(line) for line in lines[2:] if line.isdecimal()), 1)
    return Sample(
        uptime_s=_number(lines[0]),
        load=_number(lines[1]),
        cpus=max(1, cpus),
        memory_mib=memory.get("MemTotal", 0),
        free_memory_mib=memory.get("MemAvailable", 0),
        stalled_us={name: int(total) for name, _, total in counted},
        average={name: float(average) for name, average, _ in counted},
    )


def between(before: Sample | None, after: Sample) -> Pressure:
    """Return the pressure of the time between two samples, or of the last 10 s."""
    shares = {name: _share(before, after, name) for name in ("cpu", "io", "memory")}
    if not after.stalled_us:
        # Each process more than there are processors waits for one.
        waiting = max(0.0, after.load / after.cpus - 1.0)
        shares["cpu"] = min(100.0, 50.0 * waiting)
    return Pressure(
        **shares,
        free_memory_mib=after.free_memory_mib,
        memory_mib=after.memory_mib,
        cpus=after.cpus,
    )


def _share(before: Sample | None, after: Sample, name: str) -> float:
    seconds = after.uptime_s - before.uptime_s if before else 0.0
    is_near = 0 < seconds < _APART_S
    if before is None or not is_near or name not in before.stalled_us:
        return after.average.get(name, 0.0)
    stalled_us = after.stalled_us.get(name, 0) - before.stalled_us[name]
    return min(100.0, max(0.0, 100.0 * stalled_us / (seconds * _MICROSECONDS)))


def _number(line: str) -> float:
    try:
        return float(line.split()[0])
    except (IndexError, ValueError):
        return 0.0
