"""When compressing pays, told by what was sampled and what was sent."""

import pytest

from orchestration.providers.trial import WINDOW_S, Trial

MIB = 2**20


def judged(*, link: float, packing: float, left: float) -> bool:
    """Judge a link and a compressor of so many MiB a second each."""
    trial = Trial()
    trial.add_sample(MIB, round(left * MIB), 1 / packing)
    trial.add_sent(round(link * MIB), 1.0)
    return trial.pays()


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
def test_narrower_one_decides(link, packing, left, pays) -> None:
    assert judged(link=link, packing=packing, left=left) is pays


def test_nothing_is_judged_before_buffers_are_full() -> None:
    trial = Trial()
    trial.add_sample(MIB, 0, 0.001)
    trial.add_sent(MIB, 0.9 * WINDOW_S)

    assert not trial.pays()


def test_link_that_becomes_slow_is_judged_by_its_last_seconds() -> None:
    trial = Trial()
    trial.add_sample(MIB, MIB // 4, 1 / 300)
    trial.add_sent(220 * 60 * MIB, 60.0)
    assert not trial.pays()

    trial.add_sent(10 * MIB, 1.0)
    assert trial.pays()
