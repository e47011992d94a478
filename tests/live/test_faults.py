"""Deaths under a run lose no event and no finished work, and leave nothing behind.

Each quick fault strikes once, at a stage of its own; the whole matrix, every fault
at every stage, runs with the slow tests. The moment is random and printed: with
FAULT_SEED set to the number that a failure shows, the same one comes again.
"""

import os

import pytest

from testbed.client.watching import frames, send
from tests.live.faults import FAULTS
from tests.live.injection import resumed, strike, taken_down
from tests.live.watch import DATA, condition, followed, holdings, ran

pytestmark = pytest.mark.live
SLUG = "faults"
STAGES = (
    "Check hosts",
    "Prepare hosts",
    "Network",
    "Distribute",
    "Start guests",
    "Set up guests",
)
SEED = int(os.environ.get("FAULT_SEED", "1"))
# Half a minute each: leases and connections are given up, daemons come back.
PATIENT = {
    "worker frozen",
    "pool process frozen",
    "pool process killed",
    "web server killed",
    "libvirtd restarted",
    "sshd restarted",
    "link to host lost",
}


@pytest.fixture(scope="module")
def before(stack, owner):
    """The things on the hosts without the testbed, which is never up here."""
    held = holdings(stack)
    owner.create_testbed(SLUG, DATA / "pair")
    return held


def survives(stack, owner, before, name, stage):
    struck = strike(stack, owner, SLUG, FAULTS[name], stage=stage, seed=SEED)
    resumed(stack, owner, SLUG, struck)
    taken_down(stack, owner, SLUG, struck, before)
    assert not struck.problems, struck


def stage_of(name):
    """Return where a fault strikes in the default run; seeds turn the wheel."""
    return STAGES[(SEED + 5 * list(FAULTS).index(name)) % len(STAGES)]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in PATIENT))
        for name in FAULTS
    ],
)
def test_run_survives(stack, owner, before, name):
    survives(stack, owner, before, name, stage_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", FAULTS)
def test_run_survives_at_every_stage(stack, owner, before, name, stage):
    survives(stack, owner, before, name, stage)


def test_closed_window_stops_no_run(stack, owner, before):
    slug = "unwatched"
    owner.create_testbed(slug, DATA / "small")
    started = owner.start(slug, "up")
    first = started.instructions[0]

    with owner.socket(started.number) as window:
        send(window, {"type": "instruction", "index": 0, "kind": first["kind"]})
        assert next(f for f in frames(window) if f["type"] == "ack")["valid"]
    over = followed(owner, started)

    assert over.status == "succeeded", over.words
    assert condition(stack, slug) == "up"
    assert ran(owner, slug, "down").status == "succeeded"
