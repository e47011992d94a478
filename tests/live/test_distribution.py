"""An image on its way to a testbed host whose connection breaks, and one that is
cancelled on its way.

The first tests use the product's own connection and store without a run, because they
must strike in the middle: the copy waits until the test has struck. The slow one is a
whole `up` whose cable is pulled.
"""

import hashlib
import json
import os
import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.live.watch import project, ran, wait_until

pytestmark = pytest.mark.live
MIB = 2**20
IMAGES = Path("/var/lib/testbed/images")
# How long the product may take to get to the middle of the copy, or the test to strike.
PATIENCE_S = 120
# A link counts as dead when nothing was acknowledged for 15 s.
OUT_S = 20.0
SLUG = "distributed"
YAML = """\
machines:
  - name: far
    interfaces: [{bridge: br1}]
    libvirt:
      cpus: 1
      memory_mb: 64
      libvirt_type: {existing_disk: {path: big.raw, driver_type: raw}}
network:
  bridges: [{name: br0}, {name: br1}]
  external_bridge: br0
"""

PUSH = """
import json, pathlib, time
from orchestration.errors import Cancelled
from orchestration.providers.transfer.source import stored_content
from orchestration.providers.transfer.push import push
from orchestration.transport.base import Scope
from testbed.models import Host
from testbed.worker import kept_hosts

asked = json.loads(ASKED)
source, met, go_on = (pathlib.Path(asked[k]) for k in ("source", "met", "go_on"))
scope, log, steps = Scope("distribution.1"), [], []

def on_progress(done, total):
    steps.append(done)
    if done >= asked["middle"] and not met.exists():
        met.touch()
        if asked["cancels"]:
            scope.cancel()
        deadline = time.monotonic() + asked["patience_s"]
        while not go_on.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

host = kept_hosts().open(Host.objects.get(name="host-b").to_state())
content = stored_content(source, scope=scope)
answer = {"digest": content.digest.value}
try:
    result = push(
        content, host.transport, asked["name"], locks=source.parent,
        scope=scope, on_progress=on_progress, log=log.append,
    )
    answer |= {"pushed": result.pushed, "wire_bytes": result.sent.wire_bytes}
except Cancelled:
    answer |= {"pushed": "cancelled"}
print(json.dumps(answer | {
    "log": log, "steps": steps, "unproven": [p.machine for p in scope.ended if p.survivors],
}))
"""


class Copy:
    """One copy inside the product, which waits in its middle."""

    def __init__(self, stack: Stack, folder: Path, *, cancels: bool = False) -> None:
        self.source = folder / "big.raw"
        self.source.write_bytes(os.urandom(48 * MIB))
        self.met, self.go_on = folder / "met", folder / "go-on"
        self.name = IMAGES / "own-00000000000000aa.raw"
        self._stack = stack
        self._asked = {
            "source": str(self.source),
            "name": str(self.name),
            "met": str(self.met),
            "go_on": str(self.go_on),
            "middle": 24 * MIB,
            "cancels": cancels,
            "patience_s": PATIENCE_S,
        }

    def run(self, strike) -> dict:
        """Copy, strike in the middle, and return what the copy says."""
        code = f"ASKED = {json.dumps(self._asked)!r}\n{PUSH}"
        with ThreadPoolExecutor(1) as pool:
            copying = pool.submit(self._stack.shell, code)
            try:
                wait_until(
                    lambda: self.met.exists() or copying.done(),
                    "the copy does not get to its middle",
                    timeout_s=PATIENCE_S,
                )
                strike()
            finally:
                self.go_on.touch()
            return json.loads(copying.result())

    def on_host(self) -> list[str]:
        """The files of the content in the host's folder and its store."""
        born = f"@{self.source.stat().st_mtime:.6f}"
        words = ("find", str(IMAGES), "-type", "f", "-newermt", born)
        return self._stack.other.run(*words).split()


@pytest.fixture(name="folder")
def _folder(stack: Stack, request):
    folder = stack.folder / request.node.name
    folder.mkdir()
    stack.other.run("mkdir", "-p", "-m", "0755", str(IMAGES))  # as each run does
    yield folder
    there = shlex.quote(str(IMAGES))
    stack.other.run("sh", "-c", f"rm -f {there}/own-00000000000000aa.raw")


def test_copy_goes_on_where_the_connection_broke(stack, folder):
    copy = Copy(stack, folder)

    answer = copy.run(lambda: stack.other.restart("sshd"))

    assert answer["pushed"] == "sent", answer
    digest = hashlib.sha256(copy.source.read_bytes()).hexdigest()
    assert answer["digest"] == digest
    assert stack.other.run("sha256sum", str(copy.name)).split()[0] == digest
    # No more is sent twice than one SSH channel has under way, and what is read ahead.
    assert 48 * MIB <= answer["wire_bytes"] < 60 * MIB
    (resumed,) = [line for line in answer["log"] if line.startswith("resumed at ")]
    assert resumed.endswith(" of 48.0 MiB on host-b")
    assert answer["steps"][-1] == 48 * MIB
    assert answer["unproven"] == []
    blob = str(IMAGES / ".store" / f"sha256-{digest}")
    assert sorted(copy.on_host()) == sorted([blob, str(copy.name)])
    assert stack.other.run("stat", "-c", "%h %a", blob).split() == ["2", "444"]
    stack.other.run("rm", "-f", blob)


def test_cancelled_copy_leaves_nothing(stack, folder):
    copy = Copy(stack, folder, cancels=True)

    answer = copy.run(lambda: None)

    assert answer["pushed"] == "cancelled", answer
    assert answer["unproven"] == []
    assert copy.on_host() == []


@pytest.mark.slow
def test_up_survives_a_cable_that_is_pulled_amid_a_copy(stack, owner, folder):
    files = folder / "files"
    files.mkdir()
    (files / "kvm-compose.yaml").write_text(YAML)
    (files / "big.raw").write_bytes(b"small enough to be uploaded")
    owner.create_testbed(SLUG, files)
    data = os.urandom(400 * MIB)
    (project(stack, SLUG).files / "big.raw").write_bytes(data)
    mending, cut = threading.Timer(OUT_S, stack.other.mend), []

    def act(run, frame):
        if cut or not run.is_at(frame, "push-images", "task-progressed"):
            return
        told = frame["data"]  # before the copy its digest is made
        if told["note"] == "copy" and told["done"] >= 20 * MIB:
            cut.append(told["done"])
            stack.other.cut()
            mending.start()

    try:
        up = ran(owner, SLUG, "up", act)
    finally:
        if cut:
            mending.join()

    assert up.status == "succeeded", up.words
    assert "resumed at " in up.log, up.log
    name = project(stack, SLUG).read_state().guest("far").image.path
    digest = hashlib.sha256(data).hexdigest()
    assert stack.other.run("sha256sum", name).split()[0] == digest
    assert ran(owner, SLUG, "down").status == "succeeded"
    stack.other.run("rm", "-f", name, str(IMAGES / ".store" / f"sha256-{digest}"))
