"""Two users, one pair of hosts, the same YAML: nothing of one reaches the other.

Both call their testbeds, guests, bridges and addresses alike. What runs in one testbed is never
heard in the other, and taking one down does not touch the other.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.traffic import (
    BROADCASTS,
    answers,
    broadcast,
    echoes_received,
    reached,
)
from tests.live.watch import (
    DATA,
    Guest,
    condition,
    holdings,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
NAME = "alike"
MINE, THEIRS = f"owner/{NAME}", f"other/{NAME}"
AWAY = "10.0.0.6"


@pytest.fixture(name="twins")
def _twins(stack: Stack, owner: Client, other: Client):
    before = holdings(stack)
    owner.create_testbed(NAME, DATA / "twins")
    other.create_testbed(NAME, DATA / "twins")
    with ThreadPoolExecutor(2) as pool:
        ups = list(pool.map(ran, (owner, other), (NAME, NAME), ("up", "up")))
    assert [up.status for up in ups] == ["succeeded"] * 2, [up.words for up in ups]
    yield {
        (slug, name): Guest(stack, slug, name)
        for slug in (MINE, THEIRS)
        for name in ("near", "away")
    }
    assert ran(other, THEIRS, "down").status == "succeeded"
    assert holdings(stack) == before


def test_equal_names_and_addresses_do_not_meet(stack, owner, other, twins):
    assert not owner.has_testbed(THEIRS)
    assert not other.has_testbed(MINE)
    before = {place: echoes_received(guest) for place, guest in twins.items()}

    sent = reached(twins[MINE, "near"], AWAY)
    broadcast(twins[MINE, "near"], "10.0.0.255")
    mine = twins[MINE, "away"]
    wait_until(
        lambda: echoes_received(mine) > before[MINE, "away"] + sent,
        "no broadcast is heard",
    )

    heard = {p: echoes_received(guest) - before[p] for p, guest in twins.items()}
    assert heard.pop((MINE, "away")) <= sent + BROADCASTS
    assert heard == {
        (MINE, "near"): BROADCASTS,  # its own
        (THEIRS, "near"): 0,
        (THEIRS, "away"): 0,
    }
    assert mine_leads_to_theirs(stack, twins) == 0
    neighbour = twins[MINE, "near"].run(f"ip neigh show {AWAY}")
    mac = project(stack, MINE).read_state().guest("away").interfaces[0].mac
    assert mac in neighbour

    boots = {name: twins[THEIRS, name].boot for name in ("near", "away")}
    assert ran(owner, MINE, "down").status == "succeeded"

    assert condition(stack, MINE) == "down"
    wait_until_observed(stack, THEIRS, near="running on main", away="running on host-b")
    assert {name: twins[THEIRS, name].boot for name in boots} == boots
    reached(twins[THEIRS, "near"], AWAY)
    again = ran(other, THEIRS, "up")
    assert again.statuses()["ensure-links"] == {"unchanged"}
    assert again.statuses()["start-guests"] == {"unchanged"}


def mine_leads_to_theirs(stack: Stack, twins: dict[tuple[str, str], Guest]) -> int:
    """Try the way over the host, which forwards packets and is in both networks."""
    gateway = project(stack, MINE).read_state().network.management[0].address
    near = project(stack, THEIRS).read_state().guest("near")
    assert near.management is not None
    target = near.management.address
    twins[MINE, "near"].run(f"ip route add {target} via {gateway}")
    reached(twins[MINE, "near"], gateway)
    return answers(twins[MINE, "near"], target)
