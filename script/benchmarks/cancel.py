"""`script/bench cancel`: from the cancel frame to a remote guest without leftovers.

The setup script starts processes that are hard to end: a background child, one in a
session of its own, one under a shell that ignores TERM. A separate watcher, without the
product's tag, counts the guest's sleeps and is the witness.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from testbed.client.watching import Frame, frames, send
from tests.live.client import Client
from tests.live.stack import Stack, real_stack
from tests.live.watch import key_of, project

TARGET_S = 2
PATIENCE_S = 120
EVERY_S = 0.05
SLUG = "stubborn"
SETUP = "#!/bin/sh\nsleep 600 & setsid sleep 600 & trap '' TERM; sleep 600\n"
SLEEPS = 3
YAML = """\
machines:
  - name: far
    interfaces:
      - bridge: br1
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type:
        cloud_image:
          name: test_guest
          setup_script: setup.sh
network:
  bridges:
    - name: br0
    - name: br1
  bridge_connections:
    br0: br1
  external_bridge: br0
"""
# Builtins only: no process of the watcher can be taken for one of the script. It
# counts on request, because counting all the time takes half of the guest's only
# processor. A zombie is dead; busybox' init reaps it within a second.
COUNT = """\
while read -r turn; do
  n=0
  for f in /proc/[0-9]*/stat; do
    read -r pid name state rest < "$f" || continue
    [ "$name" = "(sleep)" ] && [ "$state" != Z ] && n=$((n + 1))
  done 2> /dev/null
  echo $n || exit
done
"""


class Watcher:
    """Counts the sleeps in the guest over an SSH session from its own host."""

    def __init__(self, stack: Stack) -> None:
        text = project(stack, SLUG).state_file.read_text()
        state = json.loads(text)
        (guest,) = state["guests"]
        if guest["host"] != "host-b":
            raise RuntimeError(f"the guest is on {guest['host']}, not on host-b")
        address = guest["management"]["address"]
        artefacts = project(stack, SLUG).artefacts
        known_hosts = stack.folder / "known-hosts"
        key = (artefacts / f"{guest['name']}-host-key.pub").read_text()
        known_hosts.write_text(f"{address} {key}")
        words = ["ssh", "-i", state["identity_file"], "-o", "BatchMode=yes"]
        words += ["-o", f"UserKnownHostsFile={known_hosts}", "-o", "LogLevel=ERROR"]
        words += [f"{guest['user']}@{address}", COUNT]
        self._process = subprocess.Popen(
            stack.other.in_its_network(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stopped = threading.Event()
        self._changed = threading.Condition()
        self._count, self._at = -1, 0.0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def wait_for(self, count: int, *, after: float = 0.0) -> float:
        """Wait until so many sleeps were counted; return the time of that."""
        with self._changed:
            seen = self._changed.wait_for(
                lambda: self._count == count and self._at > after, PATIENCE_S
            )
            if not seen:
                raise RuntimeError(f"the guest has {self._count} sleeps, not {count}")
            return self._at

    @property
    def count(self) -> int:
        """The newest count."""
        return self._count

    def stop(self) -> None:
        """End the session."""
        self._stopped.set()
        self._thread.join()
        self._process.terminate()
        self._process.wait()

    def _read(self) -> None:
        questions, answers = self._process.stdin, self._process.stdout
        if questions is None or answers is None:
            return
        while not self._stopped.wait(EVERY_S):
            questions.write("count\n")
            questions.flush()
            line = answers.readline()
            if not line:
                return
            with self._changed:
                self._count, self._at = int(line), time.monotonic()
                self._changed.notify_all()


def main() -> int:
    """Run the benchmark."""
    options = parser("Cancel to nothing left, in a guest of a remote host")
    options.add_argument("--repeat", type=int, default=10)
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbc") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        client.create_testbed(SLUG, write_testbed(place / "testbed"))
        table = measure(stack, client, chosen.repeat)
    return conclude(table, strict=chosen.strict)


def write_testbed(target: Path) -> Path:
    """Write a testbed with one guest, which lands on the second host."""
    target.mkdir()
    (target / "setup.sh").write_text(SETUP)
    (target / "kvm-compose.yaml").write_text(YAML)
    return target


def measure(stack: Stack, client: Client, repeat: int) -> Table:
    """Cancel repeatedly, and return the table of results."""
    ended: list[float] = []
    gone: list[float] = []
    left = 0
    watcher: Watcher | None = None
    try:
        for turn in range(repeat):
            run = client.start(SLUG, "up")
            with client.socket(run.number) as socket:
                # The server drives; the client only follows, as a second tab does.
                send(socket, {"type": "subscribe", "after": 0})
                send(socket, {"type": "detach"})
                incoming = frames(socket)
                follow_until_setup_runs(incoming)
                watcher = watcher or Watcher(stack)
                watcher.wait_for(SLEEPS)
                asked = time.monotonic()
                send(socket, {"type": "cancel"})
                end = next(frame for frame in incoming if frame["type"] == "run")
                ended.append(time.monotonic() - asked)
            if end["status"] != "cancelled":
                raise RuntimeError(f"the run ended {end}")
            gone.append(watcher.wait_for(0, after=asked) - asked)
            left += watcher.count + len(tagged(f"{key_of(stack, SLUG)}.r{run.number}."))
            print(f"  {turn + 1}: ended {ended[-1]:.2f} s, gone {gone[-1]:.2f} s")
    finally:
        if watcher:
            watcher.stop()
    table = Table(f"cancel, median of {repeat}")
    table.add("cancel to run ended", median(ended), "s", at_most=TARGET_S)
    table.add(
        "cancel to nothing left in the guest", median(gone), "s", at_most=TARGET_S
    )
    table.add("  slowest", max(*ended, *gone), "s")
    table.add("processes left in all", left, at_most=0)
    return table


def follow_until_setup_runs(incoming: Iterator[Frame]) -> None:
    """Read frames up to the one that shows the guest running its setup script."""
    for frame in incoming:
        if frame["type"] == "run":
            raise RuntimeError(f"up ended too early: {frame}")
        if frame.get("text") == "runs setup.sh":
            return


def tagged(prefix: str) -> list[int]:
    """Return the processes of this machine, both hosts, that carry a run's tag."""
    mark = f"TESTBED_TAG={prefix}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    sys.exit(main())
