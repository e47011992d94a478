"""`script/bench scaled`: `up` of as many clones as of ordinary guests, by turns.

Both have the same size, scripts and hosts. The golden image is prepared in the first
turn, whose figures are shown apart: it is made once, and later runs use it.
"""

import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.up import SETUP, write_testbed
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import real_stack

TARGET = 1.1
CLONES = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type:
        cloud_image: {{name: test_guest}}
      scaling:
        count: {count}
        shared_setup: shared.sh
        interfaces: [{interfaces}]
        clone_setup: [{{script: setup.sh, clones: {all_clones}}}]
network:
  bridges: [{bridges}]
  bridge_connections: {{{connections}}}
  external_bridge: br0
"""


def main() -> int:
    """Run the benchmark."""
    options = parser("up of clones against up of as many ordinary guests")
    options.add_argument("--guests", type=int, default=20)
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--hosts", type=int, default=2, choices=(1, 2))
    chosen = options.parse_args()
    table = Table(f"{chosen.guests} guests on {chosen.hosts} host(s)")
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbs") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        write_testbed(place / "plain", chosen.guests, chosen.hosts)
        write_clones(place / "clones", chosen.guests, chosen.hosts)
        slugs = ("plain", "clones")
        for slug in slugs:
            client.create_testbed(slug, place / slug)
        pairs = [
            [timed_up(client, slug) for slug in slugs] for _ in range(chosen.repeat + 1)
        ]
    plain_s, clones_s = (median(side) for side in zip(*pairs[1:], strict=True))
    table.add("clones, with their golden image to prepare", pairs[0][1], "s")
    table.add("clones, golden image there", clones_s, "s")
    table.add("ordinary guests", plain_s, "s")
    table.add("  ratio", clones_s / plain_s, at_most=TARGET)
    return conclude(table, strict=chosen.strict)


def timed_up(client: Client, slug: str) -> float:
    """Bring a testbed up from nothing and clear it; return the seconds of `up`."""
    started = time.monotonic()
    run_or_fail(client, slug, "up")
    seconds = time.monotonic() - started
    run_or_fail(client, slug, "clear-artefacts")
    print(f"  {slug}: {seconds:.2f} s")
    return seconds


def run_or_fail(client: Client, slug: str, command: str) -> None:
    """Run a command to its end. Raises: RuntimeError with the failed tasks."""
    problems: list[str] = []

    def see(frame: Frame) -> None:
        if frame["type"] == "result" and not frame["success"]:
            problems.append(str(frame["message"]))

    status = client.run(slug, command, see)
    if status != "succeeded":
        raise RuntimeError(f"{command} of {slug} ended {status}: {problems}")


def write_clones(target: Path, count: int, hosts: int) -> None:
    """Write a testbed like `write_testbed`'s, of clones of one golden image."""
    target.mkdir()
    (target / "setup.sh").write_text(SETUP)
    (target / "shared.sh").write_text("#!/bin/sh\necho shared > /etc/shared\n")
    bridges = range(min(hosts, count))
    text = CLONES.format(
        count=count,
        all_clones=list(range(count)),
        interfaces=", ".join(
            f"{{bridge: br{n}, clones: {list(range(n, count, len(bridges)))}}}"
            for n in bridges
        ),
        bridges=", ".join(f"{{name: br{n}}}" for n in bridges),
        connections="br0: br1" if len(bridges) > 1 else "",
    )
    (target / "kvm-compose.yaml").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
