"""The protocol with a real Redis, worker and Daphne, on simulated hosts."""

import json
import shutil

import pytest
from websockets.sync.client import connect

from tests.live.services import Services
from tests.testbed.conftest import YAML

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server"),
]

SET_UP = """
from django.contrib.auth.models import User
from django.test import Client
from testbed.models import Host
from testbed.services.testbeds import create_testbed
owner = User.objects.create_user("olive")
room = {"kind": "simulated", "cpus": 8, "memory_mib": 16384}
Host.objects.create(name="main", is_main=True, **room)
Host.objects.create(name="host-b", address="192.0.2.2", **room)
create_testbed(owner, "lab", {"kvm-compose.yaml": YAML.encode()})
client = Client()
client.force_login(owner)
print(client.cookies["sessionid"].value)
"""
CREATE = """
import json
from orchestration.instructions.base import Command
from testbed.models import Testbed
from testbed.services.runs import create_run
testbed = Testbed.objects.get()
run = create_run(testbed, testbed.owner, Command("COMMAND"))
plan = [[i.index, i.kind] for i in run.instructions.all()]
print(json.dumps([run.pk, plan]))
"""


@pytest.fixture
def services(tmp_path):
    services = Services(tmp_path)
    try:
        services.migrate()
        services.start_redis()
        services.start_worker()
        services.start_daphne()
        yield services
    finally:
        services.stop()


class Lab:
    """The testbed `lab` and its owner's session."""

    def __init__(self, services):
        self.services = services
        self.session = services.shell(f"YAML = {YAML!r}\n{SET_UP}")

    def create(self, command="up"):
        return json.loads(self.services.shell(CREATE.replace("COMMAND", command)))

    def open(self, run_id, query=""):
        return connect(
            f"ws://127.0.0.1:{self.services.port}/ws/orchestration/{run_id}/{query}",
            origin=self.services.url,
            additional_headers={"Cookie": f"sessionid={self.session}"},
            max_size=None,
            proxy=None,
        )

    def hold(self, host):
        """Let the first command of `prepare-hosts` take ten minutes on a host."""
        folder = self.services.data / "runtime/simulated"
        folder.mkdir(parents=True, exist_ok=True)
        fault = {"test -d": {"sleep_s": 600}}
        (folder / f"{host}.faults.json").write_text(json.dumps(fault))


@pytest.fixture
def lab(services):
    return Lab(services)


def send(socket, type_, **fields):
    socket.send(json.dumps({"type": type_, **fields}))


def read_until(socket, type_, **fields):
    """Return all frames up to one of this type and with these fields."""
    seen = []
    while True:
        seen.append(json.loads(socket.recv(timeout=60)))
        if seen[-1]["type"] == type_ and fields.items() <= seen[-1].items():
            return seen


def index_of(kind, plan):
    return next(index for index, found in plan if found == kind)


def drive(socket, plan):
    for index, kind in plan:
        send(socket, "instruction", index=index, kind=kind)
        if kind != "end":
            result = read_until(socket, "result", index=index)[-1]
            assert result["success"], json.dumps(result)


def test_run_survives_its_client_and_shows_everything_to_the_next(lab):
    run_id, plan = lab.create()
    with lab.open(run_id) as first:
        drive(first, plan[:2])
        send(first, "instruction", index=plan[2][0], kind=plan[2][1])
        # The tab dies without a word.
        first.socket.close()

    with lab.open(run_id, "?batch=1") as second:
        send(second, "subscribe", after=0)
        seen = read_until(second, "run")

    assert seen[-1]["status"] == "succeeded", lab.services.logs()
    results = [frame["index"] for frame in seen if frame["type"] == "result"]
    assert results == [index for index, kind in plan if kind != "end"]
    numbers = []
    for frame in seen:
        events = frame["events"] if frame["type"] == "events" else [frame]
        numbers += [event["seq"] for event in events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_signal_stops_a_running_batch_and_the_worker_lives_on(lab):
    lab.hold("host-b")
    run_id, plan = lab.create()
    held = index_of("prepare-hosts", plan)
    with lab.open(run_id) as socket:
        drive(socket, plan[:held])
        send(socket, "instruction", index=held, kind="prepare-hosts")
        read_until(socket, "event", kind="task-started", host="host-b", index=held)

        send(socket, "cancel")
        send(socket, "cancel")
        seen = read_until(socket, "run")

    assert seen[-1]["status"] == "cancelled", lab.services.logs()
    result = next(frame for frame in seen if frame["type"] == "result")
    statuses = {entry["host"]: entry["status"] for entry in result["resources"]}
    assert result["index"] == held
    assert statuses["host-b"] == "cancelled"
    assert "Task testbed.tasks.batches.run_batch" in lab.services.logs()

    (lab.services.data / "runtime/simulated/host-b.faults.json").unlink()
    again, plan = lab.create()
    with lab.open(again) as socket:
        drive(socket, plan)
        assert read_until(socket, "run")[-1]["status"] == "succeeded"


def test_cancel_works_while_redis_is_down(lab):
    lab.hold("host-b")
    run_id, plan = lab.create()
    held = index_of("prepare-hosts", plan)
    with lab.open(run_id) as socket:
        drive(socket, plan[:held])
        send(socket, "instruction", index=held, kind="prepare-hosts")
        read_until(socket, "event", kind="task-started", host="host-b", index=held)
        lab.services.kill(lab.services.processes[0])

        send(socket, "cancel")
        seen = read_until(socket, "run")

    assert seen[-1]["status"] == "cancelled"
    lab.services.start_redis()


def test_killed_worker_leaves_nothing_running_for_ever(services, lab):
    lab.hold("host-b")
    run_id, plan = lab.create()
    held = index_of("prepare-hosts", plan)
    with lab.open(run_id) as socket:
        drive(socket, plan[:held])
        send(socket, "instruction", index=held, kind="prepare-hosts")
        read_until(socket, "event", kind="task-started", host="host-b", index=held)

        services.kill(services.processes[1])
        services.start_worker()
        services.manage("recover", "--lost", str(run_id))
        end = read_until(socket, "run")[-1]

    assert end["status"] == "interrupted"
