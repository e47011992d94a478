"""Two users name their testbeds alike, and bring them up at once on the same hosts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.live.watch import condition, project, ran
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.live
NAME = "alike"
USERS = ("olive", "owner")


def test_testbeds_of_one_name_come_up_at_once_and_go_apart(
    rehearsal: Stack, tmp_path: Path
):
    (tmp_path / "kvm-compose.yaml").write_text(YAML)
    clients = [rehearsal.client(user) for user in USERS]
    with ThreadPoolExecutor(len(USERS)) as pool:
        list(pool.map(lambda client: client.create_testbed(NAME, tmp_path), clients))
        ups = list(pool.map(lambda client: ran(client, NAME, "up"), clients))

    assert [up.status for up in ups] == ["succeeded"] * 2, [up.words for up in ups]
    full = [f"{user}/{NAME}" for user in USERS]
    states = [project(rehearsal, name).read_state() for name in full]
    for part in ("domain", "uuid", "hostname"):
        mine, theirs = ({getattr(g, part) for g in state.guests} for state in states)
        assert not mine & theirs, part
    assert [client.has_testbed(full[0]) for client in clients] == [True, False]

    assert ran(clients[0], NAME, "down").status == "succeeded"

    assert [condition(rehearsal, name) for name in full] == ["down", "up"]
    assert ran(clients[1], NAME, "down").status == "succeeded"
    for client in clients:
        client.close()
