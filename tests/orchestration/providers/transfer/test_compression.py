"""When compressing pays, told by what was sampled, what was sent, and who was idle."""

from itertools import count

import pytest

from orchestration.providers.transfer.compression import SPARE, WINDOW_S, Trial, idle_s

MIB = 2**20


def trial(*, spare: float = 2.0) -> Trial:
    """A trial that asks once a second, with so many idle processors."""
    return Trial(idle=count(0.0, spare).__next__, clock=count(0.0, 1.0).__next__)


@pytest.mark.parametrize(
    ("link", "packing", "left", "pays"),
    [
        (110, 300, 0.25, True),  # text over 1 Gbit/s
        (110, 250, 0.5, True),
        (10, 300, 0.25, True),
        (220, 300, 0.25, False),  # as fast as paramiko sends
        (220, 3000, 0.01, True),  # zeros
        (10, 1500, 1.0, False),  # random bytes, over whatever
        (110, 100, 0.25, False),  # a slow processor
    ],
)
def test_narrower_one_of_link_and_compressor_decides(link, packing, left, pays) -> None:
    judged = trial()
    judged.add_sample(MIB, round(left * MIB), 1 / packing)
    judged.add_sent(link * MIB, 1.0)

    assert judged.pays() is pays


def test_busy_processors_get_no_more_to_do() -> None:
    for spare, pays in ((SPARE - 0.1, False), (SPARE + 0.1, True)):
        judged = trial(spare=spare)
        judged.add_sample(MIB, MIB // 4, 1 / 300)
        judged.add_sent(10 * MIB, 1.0)

        assert judged.pays() is pays


def test_nothing_is_judged_before_buffers_are_full() -> None:
    judged = trial()
    judged.add_sample(MIB, 0, 0.001)
    judged.add_sent(MIB, 0.9 * WINDOW_S)

    assert not judged.pays()


def test_link_that_becomes_slow_is_judged_by_its_last_seconds() -> None:
    judged = trial()
    judged.add_sample(MIB, MIB // 4, 1 / 300)
    judged.add_sent(220 * 60 * MIB, 60.0)
    assert not judged.pays()

    judged.add_sent(10 * MIB, 1.0)
    assert judged.pays()


def test_idle_time_of_this_machine_only_grows() -> None:
    before = idle_s()

    assert 0.0 < before <= idle_s()
