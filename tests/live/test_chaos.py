"""Random acts on three testbeds of two users; after each, pages and hosts agree.

    script/test --all tests/live/test_chaos.py

CHAOS_SEED chooses the acts, CHAOS_ACTS their count, and CHAOS_ONLY limits them to some
names, with commas between. The log of a run is printed, and kept in `var/chaos`.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.chaos import foreign
from tests.live.chaos.acts.act import where
from tests.live.chaos.acts.table import choose
from tests.live.chaos.checks import check
from tests.live.chaos.lab import HOSTS, Lab, made, setting
from tests.live.stack import Stack
from tests.live.watch import holdings

SECONDS_PER_ACT = 150
LOGS = Path(__file__).resolve().parents[2] / "var/chaos"
COUNT = int(setting("ACTS", "200"))
SEED = setting("SEED", "1")
ONLY = {name for name in setting("ONLY", "").split(",") if name}
pytestmark = [
    pytest.mark.live,
    pytest.mark.slow,
    pytest.mark.timeout(600 + SECONDS_PER_ACT * COUNT),
]


@pytest.fixture(name="lab")
def _lab(stack: Stack, tmp_path: Path) -> Iterator[Lab]:
    before = holdings(stack)
    LOGS.mkdir(parents=True, exist_ok=True)
    with made(stack, tmp_path) as lab, (LOGS / f"seed-{SEED}.log").open("w") as log:

        def say(line: str) -> None:
            print(line)  # noqa: T201
            print(line, file=log, flush=True)

        lab.say = say
        yield lab
        for thing in lab.foreign:
            thing.remove()
        if not lab.known:
            assert holdings(stack) == before


def test_pages_and_hosts_agree_after_each_of_many_acts(lab: Lab) -> None:
    number = lab.number(lab.testbeds["chaos-a"])
    for host in HOSTS:
        lab.foreign += foreign.standing(lab.host(host), number, "chaos-a")
    lab.say(f"seed {SEED}, {COUNT} acts; again: CHAOS_SEED={SEED} CHAOS_ACTS={COUNT}")

    problems = [problem for index in range(COUNT) for problem in acted(lab, index + 1)]
    problems += taken_down(lab)

    assert not problems, "\n".join([f"seed {SEED}:", *problems])


def acted(lab: Lab, index: int) -> list[str]:
    """Do the act of a number, and return what does not hold after it."""
    # An act's own number is in its seed: one act that took another way moves no other.
    lab.random = random.Random(f"{SEED} {index}")  # noqa: S311
    act, place = choose(lab, lab.random, ONLY)
    lab.say(f"{index}. {act.family}: {act.name} ({where(place)})")
    begun = time.monotonic()
    act.do(lab, place)
    acted_s = time.monotonic() - begun
    problems = checked(lab, f"act {index}, {act.name} ({where(place)})")
    lab.say(
        f"    {acted_s:.0f} s, checked in {time.monotonic() - begun - acted_s:.0f} s"
    )
    return problems


def checked(lab: Lab, after: str) -> list[str]:
    """Check all, and tell each new problem."""
    problems = [f"after {after}: {problem}" for problem in check(lab)]
    for problem in problems:
        lab.say(f"  ! {problem}")
    return problems


def taken_down(lab: Lab) -> list[str]:
    """Take each testbed down: nothing of it is left, and all that is foreign stands."""
    problems = []
    for testbed in lab.testbeds.values():
        if lab.state(testbed) is not None:
            lab.succeeds(testbed, "down")
            problems += checked(lab, f"the last down of {testbed.slug}")
    left = {
        f"left: {t.slug} {sorted(lab.things_of(t))}"
        for t in lab.testbeds.values()
        if lab.things_of(t)
    }
    return [*problems, *sorted(left)]
