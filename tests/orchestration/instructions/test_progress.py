"""Rate and remaining time, and how often they are told, by a clock of our own."""

import pytest

from orchestration.instructions.progress import APART_S, Reading, Reporter

MIB = 1024 * 1024
TOTAL = 1000 * MIB


class Told:
    """A reporter, its clock, and what it told."""

    def __init__(self) -> None:
        self.now = 500.0
        self.all: list[Reading] = []
        self.at: list[float] = []
        self.reporter = Reporter(self._tell, clock=lambda: self.now)

    @property
    def last(self) -> Reading:
        return self.all[-1]

    def _tell(self, reading: Reading) -> None:
        self.all.append(reading)
        self.at.append(self.now)

    def done(self, mib: float, *, total: int = TOTAL, note: str = "copy") -> None:
        self.reporter.report(int(mib * MIB), total, unit="B", note=note)

    def copy(
        self, begin_mib: float, *, mib: float, every_s: float, for_s: float
    ) -> float:
        """Go on evenly, looked at each second; return how far it came."""
        begin, looks = self.now, 0
        steps = round(for_s / every_s)
        for step in range(1, steps + 1):
            while looks + 1 < step * every_s:
                looks += 1
                self.now = begin + looks
                self.reporter.look_again()
            self.now = begin + step * every_s
            self.done(begin_mib + step * mib)
        return begin_mib + steps * mib


@pytest.fixture
def told() -> Told:
    return Told()


def test_even_copy_has_its_rate_and_what_is_left(told: Told) -> None:
    told.done(0)

    told.copy(0, mib=1, every_s=0.01, for_s=4)

    assert told.last.rate == pytest.approx(100 * MIB, rel=0.03)
    assert told.last.left_s == pytest.approx(6, abs=1)


def test_rate_is_that_of_the_last_seconds(told: Told) -> None:
    told.done(0)
    at = told.copy(0, mib=4, every_s=0.1, for_s=8)

    told.copy(at, mib=1, every_s=0.1, for_s=8)

    assert told.last.rate == pytest.approx(10 * MIB, rel=0.05)


@pytest.mark.parametrize(("mib", "every_s"), [(0.5, 0.5), (2, 2), (8, 8)])
def test_bursts_do_not_shake_the_rate(told: Told, mib: float, every_s: float) -> None:
    told.done(0)

    told.copy(0, mib=mib, every_s=every_s, for_s=64)

    settled = [r.rate for r, at in zip(told.all, told.at, strict=True) if at > 532]
    assert len(settled) > 3
    assert min(settled) > 0.6 * MIB
    assert max(settled) < 1.4 * MIB


def test_copy_that_stands_still_takes_longer_and_then_nobody_knows(told: Told) -> None:
    told.done(0)
    told.copy(0, mib=1, every_s=0.1, for_s=5)
    moving = told.last.left_s

    left: list[int | None] = []
    for _ in range(12):
        told.now += 1
        told.reporter.look_again()
        left.append(told.last.left_s)

    assert moving is not None
    assert left[1] is not None
    assert left[1] > moving
    assert left[-1] is None
    assert told.last.rate == 0
    assert told.last.done == 50 * MIB


def test_time_that_it_stood_still_does_not_count_when_it_goes_on(told: Told) -> None:
    told.done(0)
    at = told.copy(0, mib=1, every_s=0.1, for_s=5)
    told.now += 300

    told.copy(at, mib=1, every_s=0.1, for_s=3)

    assert told.last.rate == pytest.approx(10 * MIB, rel=0.1)


def test_bytes_of_an_earlier_copy_are_no_speed_of_this_one(told: Told) -> None:
    told.done(700)

    told.copy(700, mib=1, every_s=0.1, for_s=3)

    assert told.last.rate == pytest.approx(10 * MIB, rel=0.1)
    assert told.last.left_s == pytest.approx(27, abs=2)


@pytest.mark.parametrize("what", ["note", "total", "less"])
def test_other_work_begins_without_a_rate(told: Told, what: str) -> None:
    told.done(0)
    told.copy(0, mib=10, every_s=0.1, for_s=5)
    assert told.last.rate > 0
    told.now += APART_S

    if what == "note":
        told.done(510, note="verify")
    elif what == "total":
        told.done(510, total=2 * TOTAL)
    else:
        told.done(3)

    assert (told.last.rate, told.last.left_s) == (0, None)


def test_unknown_total_leaves_the_rest_unknown(told: Told) -> None:
    for step in range(20):
        told.now += 0.1
        told.done(step, total=0)

    assert told.last.rate == pytest.approx(10 * MIB, rel=0.1)
    assert told.last.left_s is None


def test_nothing_is_left_at_the_end_and_the_end_is_told_at_once(told: Told) -> None:
    told.done(0)
    told.copy(0, mib=100, every_s=0.1, for_s=0.9)
    told.now += 0.001

    told.done(1000)

    assert (told.last.done, told.last.left_s) == (TOTAL, 0)
    assert told.last.is_complete


def test_days_are_no_estimate(told: Told) -> None:
    told.done(0)

    told.copy(0, mib=0.001, every_s=1, for_s=10)

    assert told.last.rate > 0
    assert told.last.left_s is None


def test_seconds_of_waiting_have_no_rate(told: Told) -> None:
    for second in range(9):
        told.now += 1
        told.reporter.report(second, 120, unit="s", note="no lease")

    assert {(r.rate, r.left_s) for r in told.all} == {(0, None)}
    assert [r.done for r in told.all] == list(range(9))


def test_thousands_of_reports_become_four_a_second(told: Told) -> None:
    told.done(0)

    told.copy(0, mib=0.1, every_s=0.001, for_s=5)

    pauses = [b - a for a, b in zip(told.at, told.at[1:], strict=False)]
    assert 15 <= len(told.all) <= 21
    assert min(pauses) >= APART_S


def test_last_word_is_told_also_when_it_came_too_early(told: Told) -> None:
    told.done(0)
    told.done(7)
    told.done(9)
    assert [r.done for r in told.all] == [0]

    told.reporter.close()
    told.done(11)
    told.reporter.look_again()
    told.reporter.close()

    assert [r.done for r in told.all] == [0, 9 * MIB]


def test_held_back_progress_is_reported_when_asked_for(told: Told) -> None:
    told.done(0)
    told.done(7)
    told.now += APART_S

    told.reporter.look_again()
    told.reporter.look_again()

    assert [r.done for r in told.all] == [0, 7 * MIB]


def test_equal_reports_are_told_once(told: Told) -> None:
    for _ in range(5):
        told.now += 1
        told.reporter.report(3, 10, unit="s", note="boots")

    assert len(told.all) == 1
