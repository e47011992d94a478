"""The protocol with a real Redis, worker and Daphne, on simulated hosts."""

import json
import signal

import pytest

from tests.testbed.conftest import YAML

pytestmark = pytest.mark.live
HELD = "host-01"


class Lab:
    """A testbed and its owner."""

    def __init__(self, stack, owner, folder):
        self.stack, self.owner = stack, owner
        self.slug = f"lab-{folder.name.removeprefix('test_')[:30]}".replace("_", "-")
        (folder / "kvm-compose.yaml").write_text(YAML)
        self.owner.create_testbed(self.slug, folder)

    def create(self, command="up"):
        run = self.owner.start(self.slug, command)
        return run.number, [(i["index"], i["kind"]) for i in run.instructions]

    def open(self, run_id, query=""):
        return self.owner.pages.socket(f"/ws/orchestration/{run_id}/{query}")

    @property
    def faults(self):
        folder = self.stack.data / "runtime/simulated"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{HELD}.faults.json"

    def hold(self):
        """Let the first command of `prepare-hosts` take ten minutes on a host."""
        self.faults.write_text(json.dumps({"test -d": {"sleep_s": 600}}))

    def hold_at(self, socket, plan):
        """Drive up to the command that is held; return its instruction's number."""
        held = index_of("prepare-hosts", plan)
        drive(socket, plan[:held])
        send(socket, "instruction", index=held, kind="prepare-hosts")
        read_until(socket, "event", kind="task-started", host=HELD, index=held)
        return held


@pytest.fixture
def lab(rehearsal, tmp_path):
    owner = rehearsal.client("olive")
    lab = Lab(rehearsal, owner, tmp_path)
    yield lab
    lab.faults.unlink(missing_ok=True)
    owner.close()


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

    assert seen[-1]["status"] == "succeeded", lab.stack.log("worker")
    results = [frame["index"] for frame in seen if frame["type"] == "result"]
    assert results == [index for index, kind in plan if kind != "end"]
    numbers = []
    for frame in seen:
        events = frame["events"] if frame["type"] == "events" else [frame]
        numbers += [event["seq"] for event in events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_signal_stops_a_running_batch_and_the_worker_lives_on(lab):
    lab.hold()
    run_id, plan = lab.create()
    with lab.open(run_id) as socket:
        held = lab.hold_at(socket, plan)

        send(socket, "cancel")
        send(socket, "cancel")
        seen = read_until(socket, "run")

    assert seen[-1]["status"] == "cancelled", lab.stack.log("worker")
    result = next(frame for frame in seen if frame["type"] == "result")
    statuses = {entry["host"]: entry["status"] for entry in result["resources"]}
    assert result["index"] == held
    assert statuses[HELD] == "cancelled"
    assert "Task testbed.tasks.batches.run_batch" in lab.stack.log("worker")

    lab.faults.unlink()
    again, plan = lab.create()
    with lab.open(again) as socket:
        drive(socket, plan)
        assert read_until(socket, "run")[-1]["status"] == "succeeded"


def test_cancel_works_while_redis_is_down(lab):
    lab.hold()
    run_id, plan = lab.create()
    with lab.open(run_id) as socket:
        lab.hold_at(socket, plan)
        lab.stack.stop("redis", with_signal=signal.SIGKILL)

        send(socket, "cancel")
        seen = read_until(socket, "run")

    assert seen[-1]["status"] == "cancelled"
    lab.stack.start_redis()


def test_killed_worker_leaves_nothing_running_for_ever(lab):
    lab.hold()
    run_id, plan = lab.create()
    with lab.open(run_id) as socket:
        lab.hold_at(socket, plan)

        lab.stack.stop("worker", with_signal=signal.SIGKILL)
        lab.stack.start_worker()
        lab.stack.manage("recover", "--lost", str(run_id))
        end = read_until(socket, "run")[-1]

    assert end["status"] == "interrupted"
