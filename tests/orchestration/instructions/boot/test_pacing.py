"""How many guests boot at once: bounded, fair, and nobody waits for ever."""

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.instructions.boot import pacing
from orchestration.instructions.boot.pacing import Booting, Ledger
from orchestration.providers.linux.pressure import Pressure

CALM = Pressure(cpu=5, cpus=2, memory_mib=24000, free_memory_mib=20000)
HARD = Pressure(cpu=97, cpus=2, memory_mib=24000, free_memory_mib=20000)
percents = st.floats(0, 100)
pressures = st.builds(
    Pressure,
    cpu=percents,
    io=percents,
    memory=percents,
    free_memory_mib=st.integers(0, 64000),
    memory_mib=st.just(64000),
    cpus=st.integers(1, 64),
)


def boots(count: int, testbed: str = "demo", at: float = 100.0) -> tuple[Booting, ...]:
    return tuple(
        Booting(domain=f"{testbed}-{n}", testbed=testbed, started_at=at, memory_mib=128)
        for n in range(count)
    )


@settings(deadline=None)
@given(st.floats(1, 500), st.lists(pressures, min_size=1, max_size=40))
def test_window_stays_between_its_bounds(window: float, felt: list[Pressure]) -> None:
    for look in felt:
        before, window = window, pacing.adapt(window, look)

        least = pacing.first_window(look.cpus)
        assert min(before, least) <= window <= max(before, least, pacing.MAX_WINDOW)
        assert window <= before + 1 or window == least


def test_window_opens_while_it_is_calm_and_closes_faster_than_it_opened() -> None:
    window = pacing.first_window(2)

    for _ in range(8):
        window = pacing.adapt(window, CALM)

    assert window == 16
    for _ in range(2):
        window = pacing.adapt(window, HARD)
    assert window == pacing.first_window(2)
    window = pacing.adapt(20.0, HARD)
    assert window == 14.0
    for _ in range(20):
        window = pacing.adapt(window, HARD)
    assert window == pacing.first_window(2)


def test_window_stays_when_it_is_neither_calm_nor_hard() -> None:
    busy = Pressure(cpu=75, cpus=2)

    assert pacing.adapt(8.0, busy) == 8.0


def test_each_resource_alone_closes_the_window() -> None:
    for felt in (
        Pressure(cpu=95, cpus=2),
        Pressure(io=70, cpus=2),
        Pressure(memory=25, cpus=2),
    ):
        assert pacing.adapt(20.0, felt) == 14.0


def test_small_lab_starts_at_once() -> None:
    ledger = Ledger()
    for guest in boots(8):
        assert pacing.is_free(ledger, "demo", 2)
        ledger = ledger.with_(guest)

    assert not pacing.is_free(ledger, "demo", 2)


def test_guest_waits_with_its_reason_when_the_window_is_full() -> None:
    ledger = Ledger(window=4, booting=boots(4))

    assert pacing.refusal(ledger, "demo", 128, HARD) == "cpu pressure 97 %"
    assert pacing.refusal(Ledger(window=5, booting=boots(4)), "demo", 128, HARD) == ""


def test_guest_waits_for_memory_that_is_promised_to_others() -> None:
    felt = Pressure(memory_mib=8000, free_memory_mib=700, cpus=8)
    ledger = Ledger(window=16, booting=boots(3))

    assert pacing.refusal(ledger, "demo", 512, felt) == "700 MiB of memory are free"
    assert pacing.refusal(ledger, "demo", 128, felt) == ""


def test_testbed_of_which_nothing_boots_may_always_begin() -> None:
    felt = Pressure(cpu=100, memory=100, memory_mib=8000, free_memory_mib=0, cpus=2)
    full = Ledger(window=2, booting=boots(50), waiting={"demo": 100.0})

    assert pacing.is_free(full, "small", 2)
    assert pacing.refusal(full, "small", 4096, felt) == ""


def test_testbeds_that_wait_share_the_window() -> None:
    ledger = Ledger(
        window=8,
        booting=(*boots(4, "big"), *boots(1, "small")),
        waiting={"big": 100.0, "small": 100.0},
    )

    assert pacing.refusal(ledger, "big", 128, CALM) != ""
    assert pacing.refusal(ledger, "small", 128, CALM) == ""


def test_share_of_a_testbed_that_does_not_wait_is_given_to_others() -> None:
    ledger = Ledger(window=8, booting=boots(4, "big"), waiting={"big": 100.0})

    assert pacing.refusal(ledger, "big", 128, CALM) == ""


def test_guest_that_became_idle_gives_its_place() -> None:
    ledger = Ledger(booting=boots(2, at=100.0))
    cpu_times = {"demo-0": 5_000_000_000, "demo-1": 5_000_000_000}

    ledger = pacing.settle(ledger, cpu_times, now=106.0, seconds=1.0, young_s=4.0)
    for now in range(107, 107 + pacing.IDLE_LOOKS):
        cpu_times["demo-1"] += 900_000_000
        ledger = pacing.settle(ledger, cpu_times, now=now, seconds=1.0, young_s=4.0)

    assert [b.domain for b in ledger.booting] == ["demo-1"]


def test_guest_that_pauses_for_a_moment_keeps_its_place() -> None:
    ledger = Ledger(booting=boots(1))
    used_ns = 0

    for now in range(106, 120):
        used_ns += 900_000_000 if now % 2 else 0
        ledger = pacing.settle(
            ledger, {"demo-0": used_ns}, now=now, seconds=1.0, young_s=4.0
        )

    assert len(ledger.booting) == 1


def test_young_guest_keeps_its_place_and_one_that_is_gone_does_not() -> None:
    ledger = Ledger(booting=boots(1))

    assert pacing.settle(ledger, {}, now=101.0, seconds=1.0, young_s=4.0).booting
    assert not pacing.settle(ledger, {}, now=105.0, seconds=1.0, young_s=4.0).booting


def test_old_starts_count_no_more_and_the_window_is_forgotten() -> None:
    ledger = Ledger(window=2, booting=boots(3), waiting={"demo": 100.0})

    assert pacing.expire(ledger, 101.0) == ledger
    assert pacing.expire(ledger, 100.0 + pacing.BOOT_S) == Ledger()
    assert pacing.expire(ledger, 5.0) == Ledger(), "the clock was set back"


@settings(deadline=None, max_examples=40)
@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    felt=st.lists(pressures, min_size=1, max_size=20),
    boot_s=st.integers(3, 400),
)
def test_everybody_starts_and_the_bound_holds(
    counts: list[int], felt: list[Pressure], boot_s: int
) -> None:
    """Each second one look; guests work all the time and end their boot, or never."""
    left = {f"t{n}": count for n, count in enumerate(counts)}
    total = sum(counts)
    ledger, now = Ledger(), 1000.0
    while any(left.values()):
        look = felt[int(now) % len(felt)]
        ledger = pacing.expire(ledger, now)
        ledger = ledger.model_copy(
            update={
                "window": pacing.adapt(
                    ledger.window or pacing.first_window(look.cpus), look
                ),
                "booting": tuple(
                    b for b in ledger.booting if now - b.started_at < boot_s
                ),
            }
        )
        for testbed in [name for name, count in left.items() if count]:
            if pacing.refusal(ledger, testbed, 128, look):
                waiting = ledger.waiting | {testbed: now}
                ledger = ledger.model_copy(update={"waiting": waiting})
                continue
            name = f"{testbed}-{left[testbed]}"
            entry = Booting(
                domain=name, testbed=testbed, started_at=now, memory_mib=128
            )
            ledger = ledger.with_(entry)
            left[testbed] -= 1
            assert len(ledger.booting) <= max(ledger.window, len(counts))
        now += 1
        assert now < 1000 + total * (pacing.BOOT_S + 2), "somebody waits for ever"
