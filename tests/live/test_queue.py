"""The queue outlives its processes: web, worker and Redis are killed while runs wait."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.stack import Stack, simulated_stack
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server"),
]
YAML = """\
machines:
  - name: web
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""
ONE_VCPU = """\
from testbed.models import Host
for host in Host.objects.all():
    Host.objects.filter(pk=host.pk).update(vcpu_overcommit=1 / host.cpus)
"""
STATUSES = """\
from testbed.models import Run
runs = Run.objects.filter(command="up").order_by("pk")
print(dict(runs.values_list("testbed__name", "status")))
"""
BEGINS = """\
from testbed.models import Run
runs = Run.objects.filter(command="up").order_by("started_at")
print([name for name in runs.values_list("testbed__name", flat=True)])
"""


@pytest.fixture(scope="module", name="lab")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"TESTBED_SWEEP_EVERY_S": "1", "TESTBED_DRIVER_PATIENCE_S": "1"}
    folder = tmp_path_factory.mktemp("queue")
    with simulated_stack(folder, hosts=1, **settings) as lab:
        lab.add_user("olive")
        lab.shell(ONE_VCPU)
        yield lab


def ended(lab: Stack, number: int) -> str:
    """Follow a run to its end with a new session; return its status."""
    client = lab.client("olive")
    try:
        return client.follow(number, lambda _: None)
    finally:
        client.close()


def started(client: Client, slug: str, folder: Path) -> int:
    """Make a testbed of one vCPU, and ask for Up."""
    files = folder / slug
    files.mkdir()
    (files / "kvm-compose.yaml").write_text(YAML)
    client.create_testbed(slug, files)
    return client.start(slug, "up").number


def test_runs_wait_through_the_death_of_all_processes_and_begin_in_turn(
    lab: Stack, tmp_path: Path
) -> None:
    client = lab.client("olive")
    first = started(client, "first", tmp_path)
    assert ended(lab, first) == "succeeded"
    second, third = (started(client, slug, tmp_path) for slug in ("second", "third"))
    place = client.pages.read(f"/runs/{third}/waiting/")
    client.close()

    for name in ("worker", "web", "redis"):
        lab.stop(name, with_signal=signal.SIGKILL)
    alone = lab.shell(STATUSES)
    lab.start_redis()
    lab.start_web()
    client = lab.client("olive")
    down = client.start("first", "down").number
    waits = client.pages.read(f"/runs/{third}/waiting/")
    lab.start_worker()

    assert "Place 2 of 2 in the queue." in place
    assert "Place 2 of 2 in the queue." in waits
    assert "'second': 'waiting', 'third': 'waiting'" in alone
    assert ended(lab, down) == "succeeded"
    assert ended(lab, second) == "succeeded"
    client.start("second", "down")
    client.close()
    wait_until(lambda: ended(lab, third) == "succeeded", "the third did not come up")
    assert lab.shell(BEGINS).split("\n")[0] == "['first', 'second', 'third']"
