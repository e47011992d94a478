"""What dies under a run costs no event, no work that was done, and leaves nothing."""

import pytest

from tests.live.faults import FAULTS
from tests.live.injection import resumed, strike, taken_down
from tests.live.watch import DATA, holdings

pytestmark = [pytest.mark.live, pytest.mark.slow]
STAGES = ("Network", "Start guests", "Set up guests")
SEED = 1


@pytest.mark.parametrize("name", FAULTS)
def test_run_survives(stack, owner, name):
    before = holdings(stack)
    slug = "f-" + name.lower().replace(" ", "-")
    owner.create_testbed(slug, DATA / "pair")
    stage = STAGES[(SEED + list(FAULTS).index(name)) % len(STAGES)]

    struck = strike(stack, owner, slug, FAULTS[name], stage=stage, seed=SEED)
    if not struck.problems:
        resumed(stack, owner, slug, struck)
        taken_down(stack, owner, slug, struck, before)

    assert not struck.problems, struck
