"""Computes how many guests may boot on a host at once, from the host's load. Pure.

A window, as in networks: it opens by one with each calm look and closes by a third
with each hard one. `admission` keeps the ledger and asks; nothing here reads a clock.
A few guests always boot at once, and a testbed without a booting guest may always
begin, so that no wait is endless and a small lab does not wait at all.
"""

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from orchestration.providers.linux.pressure import Pressure

# Percent of the time; between the two the window stays.
HARD = {"cpu": 90.0, "io": 60.0, "memory": 20.0}
CALM = {"cpu": 60.0, "io": 30.0, "memory": 5.0}
CLOSE = 0.7
# A lab of this size starts at once on any host: together the boots take no longer.
FEW = 8.0
MAX_WINDOW = 256.0
# A guest that used less than this share of one processor in so many looks in a row has
# ended its boot: looks are a second apart, and a boot loader's menu waits for less.
IDLE_SHARE = 0.25
IDLE_LOOKS = 4
# An older boot is not counted any more, active or not.
BOOT_S = 180.0
# A testbed whose last request is older than this no longer waits.
CLAIM_S = 5.0


class Frozen(BaseModel):
    """Values of the ledger file."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Booting(Frozen):
    """A guest that was started and has not ended its boot; times are epochs."""

    domain: str
    testbed: str
    started_at: float
    memory_mib: int
    cpu_time_ns: int = 0
    idle_looks: int = 0


class Ledger(Frozen):
    """A host's boots, its waiting testbeds (testbed → last request), and its window."""

    window: float = 0.0
    booting: tuple[Booting, ...] = ()
    waiting: dict[str, float] = {}

    def without(self, domain: str) -> "Ledger":
        """Return the ledger after a guest's boot ended."""
        kept = tuple(b for b in self.booting if b.domain != domain)
        return self.model_copy(update={"booting": kept})

    def with_(self, entry: Booting) -> "Ledger":
        """Return the ledger after a guest was admitted."""
        booting = (*self.without(entry.domain).booting, entry)
        return self.model_copy(update={"booting": booting})


def first_window(cpus: int) -> float:
    """Return how many guests may always boot at once; fewer leave processors idle."""
    return max(FEW, 2.0 * cpus)


def adapt(window: float, felt: Pressure) -> float:
    """Return the next window after one look at the host."""
    shares = {"cpu": felt.cpu, "io": felt.io, "memory": felt.memory}
    if any(shares[name] >= limit for name, limit in HARD.items()):
        return max(first_window(felt.cpus), window * CLOSE)
    if all(shares[name] < limit for name, limit in CALM.items()):
        return min(MAX_WINDOW, window + 1.0)
    return window


def expire(ledger: Ledger, now: float) -> Ledger:
    """Drop entries that are too old, and a window that was not used since."""
    booting = tuple(b for b in ledger.booting if 0 <= now - b.started_at < BOOT_S)
    waiting = {t: at for t, at in ledger.waiting.items() if 0 <= now - at < CLAIM_S}
    window = ledger.window if booting or waiting else 0.0
    return Ledger(window=window, booting=booting, waiting=waiting)


def settle(
    ledger: Ledger,
    cpu_times: Mapping[str, int],
    *,
    now: float,
    seconds: float,
    young_s: float,
) -> Ledger:
    """Drop the guests that have become idle, or are gone, unless they are young.

    `cpu_times` are the host's domains, `seconds` the time since the last look.
    """
    booting = []
    for entry in ledger.booting:
        wanted_ns = cpu_times.get(entry.domain)
        if now - entry.started_at < young_s:
            booting.append(entry.model_copy(update={"cpu_time_ns": wanted_ns or 0}))
        elif wanted_ns is not None:
            share = (wanted_ns - entry.cpu_time_ns) / (max(seconds, 0.1) * 1e9)
            looks = entry.idle_looks + 1 if share < IDLE_SHARE else 0
            known = {"cpu_time_ns": wanted_ns, "idle_looks": looks}
            if looks < IDLE_LOOKS:
                booting.append(entry.model_copy(update=known))
    return ledger.model_copy(update={"booting": tuple(booting)})


def is_free(ledger: Ledger, testbed: str, cpus: int) -> bool:
    """Return whether a guest may start without a look at the host."""
    own = sum(b.testbed == testbed for b in ledger.booting)
    few = min(ledger.window or first_window(cpus), first_window(cpus))
    return own == 0 or (len(ledger.booting) < few and not _others(ledger, testbed))


def refusal(ledger: Ledger, testbed: str, memory_mib: int, felt: Pressure) -> str:
    """Return why a guest of this testbed has to wait now; empty when it may start."""
    own = sum(b.testbed == testbed for b in ledger.booting)
    if own == 0:
        return ""
    promised_mib = sum(b.memory_mib for b in ledger.booting)
    if felt.memory_mib and felt.free_memory_mib - promised_mib < memory_mib:
        return f"{felt.free_memory_mib} MiB of memory are free"
    window = int(ledger.window or first_window(felt.cpus))
    share = math.ceil(window / (1 + _others(ledger, testbed)))
    if len(ledger.booting) < window and own < share:
        return ""
    return _hardest(felt)


def _others(ledger: Ledger, testbed: str) -> int:
    """Count the other testbeds that wait."""
    return sum(name != testbed for name in ledger.waiting)


def _hardest(felt: Pressure) -> str:
    shares = {"cpu": felt.cpu, "io": felt.io, "memory": felt.memory}
    name = max(shares, key=lambda key: shares[key] / HARD[key])
    return f"{name} pressure {shares[name]:.0f} %"
