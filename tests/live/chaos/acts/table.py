"""All acts, and the choice of the next one."""

from random import Random

from tests.live.chaos.acts import (
    daemons,
    edits,
    guests,
    networks,
    runs,
    storage,
    strangers,
)
from tests.live.chaos.acts.act import Act, Place
from tests.live.chaos.lab import Lab

FAMILIES = (runs, guests, networks, edits, daemons, storage, strangers)
ACTS = tuple(act for family in FAMILIES for act in family.ACTS)


def choose(lab: Lab, random: Random, names: set[str]) -> tuple[Act, Place]:
    """Choose an act that is possible now, and its place; `names` limits the acts."""
    possible = [
        (act, act.places(lab)) for act in ACTS if not names or act.name in names
    ]
    possible = [(act, places) for act, places in possible if places]
    assert possible, "no act is possible"
    weights = [act.weight for act, _ in possible]
    ((act, places),) = random.choices(possible, weights)
    return act, random.choice(places)
