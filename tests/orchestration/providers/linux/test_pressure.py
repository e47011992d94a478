"""A host's pressure: the share of time in which some task waited."""

from dataclasses import replace

import pytest

from orchestration.providers.linux import pressure
from orchestration.providers.linux.pressure import Sample, between, parse
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport

SAID = """\
12441.70 20000.00
5.71 4.40 3.15 3/812 9911
MemTotal:       24629628 kB
MemAvailable:   20123456 kB
2
cpu avg10=72.31 avg60=40.00 avg300=30.00 total=500000000
io avg10=3.50 avg60=1.00 avg300=0.50 total=70000000
memory avg10=0.00 avg60=0.00 avg300=0.00 total=100
"""
NOW = parse(SAID)


def later(seconds: float, **stalled_us: int) -> Sample:
    """A second look, with this much more stalled time."""
    more = {n: us + stalled_us.get(n, 0) for n, us in NOW.stalled_us.items()}
    return replace(NOW, uptime_s=NOW.uptime_s + seconds, stalled_us=more)


def test_everything_is_read() -> None:
    assert (
        Sample(
            uptime_s=12441.70,
            load=5.71,
            cpus=2,
            memory_mib=24052,
            free_memory_mib=19651,
            stalled_us={"cpu": 500000000, "io": 70000000, "memory": 100},
            average={"cpu": 72.31, "io": 3.5, "memory": 0.0},
        )
        == NOW
    )


def test_first_look_takes_the_kernels_average() -> None:
    felt = between(None, NOW)

    assert (felt.cpu, felt.io, felt.memory) == (72.31, 3.5, 0.0)
    assert (felt.cpus, felt.free_memory_mib) == (2, 19651)


def test_second_look_measures_the_time_between() -> None:
    felt = between(NOW, later(2.0, cpu=1_000_000, io=200_000, memory=2_500_000))

    assert (felt.cpu, felt.io, felt.memory) == (50.0, 10.0, 100.0)


@pytest.mark.parametrize("seconds", [-100.0, 0.0, 60.0])
def test_looks_that_do_not_belong_together_take_the_average(seconds: float) -> None:
    assert between(NOW, later(seconds, cpu=7)).cpu == 72.31


@pytest.mark.parametrize(
    ("load", "share"), [(0.5, 0.0), (2.0, 0.0), (4.0, 50.0), (60.0, 100.0)]
)
def test_kernel_that_does_not_count_is_judged_by_its_load(
    load: float, share: float
) -> None:
    silent = parse(SAID.split("cpu avg10")[0].replace("5.71", str(load)))

    felt = between(silent, silent)

    assert (felt.cpu, felt.io, felt.memory) == (share, 0.0, 0.0)


@pytest.mark.parametrize("text", ["", "nonsense\n", "\n\n\n", "x y\nz\ncpu avg10=\n"])
def test_nonsense_is_no_pressure(text: str) -> None:
    felt = between(None, parse(text))

    assert (felt.cpu, felt.io, felt.memory, felt.cpus) == (0, 0, 0, 1)


def test_this_machine_can_be_asked() -> None:
    scope = Scope()

    sample = pressure.observe(LocalTransport("here"), scope=scope)

    assert sample.uptime_s > 0
    assert sample.cpus >= 1
    assert 0 < sample.free_memory_mib <= sample.memory_mib
