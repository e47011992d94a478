"""The limits of boots: a task has them, the engine's owner may set them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BootLimits:
    """The times and shares by which boots are admitted, watched and given up.

    `deadline_s` is for a guest that boots alone: a Debian 12 under plain QEMU took 59 s
    on 2 cores. A waiting guest asks again after `ask_every_s`, and its host is observed
    after `look_every_s`. A guest younger than `young_s` may be idle or not there yet.
    One that uses less than `busy_share` of one processor shows no work: a guest that
    waits for a login uses 1 to 5 % under emulation.
    """

    deadline_s: float = 120.0
    ask_every_s: float = 0.5
    look_every_s: float = 1.0
    young_s: float = 4.0
    busy_share: float = 0.1


USUAL = BootLimits()
