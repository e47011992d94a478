"""Real runs of two users: a reservation queues Up of others, and lets its holder pass."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.stack import Stack, simulated_stack
from tests.live.test_queue import ONE_VCPU, YAML

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server"),
]


@pytest.fixture(scope="module", name="lab")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One host of one vCPU, of which a guest needs all."""
    settings = {"TESTBED_SWEEP_EVERY_S": "1", "TESTBED_DRIVER_PATIENCE_S": "1"}
    folder = tmp_path_factory.mktemp("reservations")
    with simulated_stack(folder, hosts=1, **settings) as lab:
        lab.add_user("olive", "mark")
        lab.shell(ONE_VCPU)
        yield lab


@pytest.fixture
def olive(lab: Stack) -> Iterator[Client]:
    client = lab.client("olive")
    yield client
    client.close()


@pytest.fixture
def mark(lab: Stack) -> Iterator[Client]:
    client = lab.client("mark")
    yield client
    client.close()


def test_up_of_another_user_waits_for_a_reservation_and_the_holders_passes(
    olive: Client, mark: Client, tmp_path: Path
) -> None:
    for client, slug in ((olive, "own"), (mark, "other")):
        folder = tmp_path / slug
        folder.mkdir()
        (folder / "kvm-compose.yaml").write_text(YAML)
        client.create_testbed(slug, folder)
    now = datetime.now(UTC)
    made = olive.server.send(
        "POST",
        "/reservations",
        {
            "host": "main",
            "vcpus": 1,
            "memory_mib": 64,
            "begins": now.isoformat(),
            "ends": (now + timedelta(hours=1)).isoformat(),
        },
    )

    others = mark.start("other", "up")
    place = mark.pages.read(f"/runs/{others.number}/waiting/")
    mine = olive.run("own", "up", lambda _: None)
    down = olive.run("own", "down", lambda _: None)
    still = mark.pages.read(f"/runs/{others.number}/waiting/")
    cancelled = olive.server.send("DELETE", f"/reservations/{made['id']}")
    theirs = mark.follow(others.number, lambda _: None)

    assert others.waits
    assert "beside what is reserved there for other users until" in place
    assert (mine, down) == ("succeeded", "succeeded")
    assert "beside what is reserved there for other users until" in still
    assert (made["state"], cancelled["state"]) == ("current", "cancelled")
    assert theirs == "succeeded"
