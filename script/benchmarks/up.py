"""`script/bench up`: from the click to guests that are set up, against a bare script.

The product brings a testbed up from nothing: artefacts, networks, bridges, disks,
guests, scripts. Then its domains and disks are removed outside the product, and
`floor.sh` makes and starts the same ones, with networks and seeds in place. Then the
tools that a user could pick instead make as many guests (`peers`). All by turns.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.peers.contest import Peers
from benchmarks.peers.site import CPUS, MEMORY_MIB, PeerGuest, Site
from benchmarks.peers.tools import PEERS
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import CHECKOUT, NamespaceHost, Stack, real_stack
from tests.live.watch import project

TARGET = 1.3
OURS = "ours"
FLOOR_TITLE = "bare script"
FLOOR = CHECKOUT / "script/benchmarks/floor.sh"
SETUP = "#!/bin/sh\nset -e\nhostname\necho set up > /var/tmp/set-up\n"
GUEST = f"""\
  - name: g{{n}}
    interfaces:
      - bridge: br{{bridge}}
    libvirt:
      cpus: {CPUS}
      memory_mb: {MEMORY_MIB}
      libvirt_type:
        cloud_image:
          name: test_guest
          setup_script: setup.sh
"""


@dataclass(slots=True)
class Stages:
    """The end of each instruction of one run, in seconds after the click."""

    began: float = field(default_factory=time.monotonic)
    ends: list[tuple[int, float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def see(self, frame: Frame) -> None:
        """Take one frame."""
        if frame["type"] != "result":
            return
        self.ends.append((frame["index"], time.monotonic() - self.began))
        if not frame["success"]:
            self.problems.append(str(frame["message"]))


class Contest:
    """One testbed of `count` guests, brought up by the product and by the script."""

    def __init__(self, stack: Stack, client: Client, *, count: int, hosts: int) -> None:
        self.slug = f"up{count}"
        self.stack = stack
        self.client = client
        self.count = count
        self.setup = stack.folder / self.slug / "setup.sh"
        write_testbed(self.setup.parent, count, hosts)
        client.create_testbed(self.slug, self.setup.parent)
        self.titles: dict[int, str] = {}
        self.stages: dict[int, list[float]] = defaultdict(list)

    def product_s(self) -> float:
        """Let the product bring it up; return the seconds from the click."""
        stages = Stages()
        run = self.client.start(self.slug, "up")
        clicked = time.monotonic() - stages.began
        status = self.client.drive(run, stages.see)
        taken = time.monotonic() - stages.began
        if status != "succeeded":
            raise RuntimeError(f"up ended {status}: {stages.problems}")
        self.titles = {entry["index"]: entry["title"] for entry in run.instructions}
        self.stages[-1].append(clicked)
        before = clicked
        for index, at in stages.ends:
            self.stages[index].append(at - before)
            before = at
        return taken

    def floor_s(self) -> float:
        """Let the script make and start the same guests; return its seconds."""
        state = self._state()
        lists = [
            (host, self._list(host, [g for g in state["guests"] if g["host"] == name]))
            for host, name in ((self.stack.main, "main"), (self.stack.other, "host-b"))
        ]
        self.remove_guests()
        words = [str(self.setup), state["identity_file"]]
        scripts = [
            subprocess.Popen(
                host.argv(str(FLOOR), str(listed), *words), stdout=subprocess.PIPE
            )
            for host, listed in lists
        ]
        printed = [script.communicate()[0] for script in scripts]
        if any(script.returncode for script in scripts):
            raise RuntimeError("the floor script failed")
        return max(int(text) for text in printed) / 1000

    def peers_s(self, peers: Peers) -> dict[str, float]:
        """Let each peer make as many guests; return its seconds by title."""
        if not peers.ready:
            return {}
        self.remove_guests()
        (main,) = (host for host in self._state()["hosts"] if host["name"] == "main")
        peers.site.domain_type = main["domain_type"]
        return peers.seconds([PeerGuest(n) for n in range(self.count)])

    def remove_guests(self) -> None:
        """Remove the domains and disks outside the product."""
        for guest in self._state()["guests"]:
            host = self.stack.main if guest["host"] == "main" else self.stack.other
            remove(host, guest)

    def clear(self) -> None:
        """Take everything down and remove the generated files."""
        status = self.client.run(self.slug, "clear-artefacts", lambda _: None)
        if status != "succeeded":
            raise RuntimeError(f"clear-artefacts ended {status}")

    def show_stages(self) -> None:
        """Print each median time from the previous result to the next one."""
        print(f"{self.count} guests:")
        for index, seconds in self.stages.items():
            print(f"  {median(seconds):6.2f} s  {self.titles.get(index, 'Plan')}")

    def _state(self) -> Frame:
        text = project(self.stack, self.slug).state_file.read_text()
        return json.loads(text)

    def _list(self, host: NamespaceHost, guests: list[Frame]) -> Path:
        """Write the script's list of the guests of one host."""
        lines = []
        for guest in guests:
            address = guest["management"]["address"]
            known_hosts = host.folder / f"{guest['domain']}.known-hosts"
            image = guest["image"]
            login = f"{guest['user']}@{address}"
            words = (login, str(known_hosts), guest["domain"])
            words += (image["path"], image["format"], guest["disk"], guest["xml"])
            words += (f"{guest['artefacts_dir']}/{guest['name']}-host-key.report",)
            lines.append(" ".join(words))
        listed = host.folder / f"{self.slug}.list"
        listed.write_text("".join(f"{line}\n" for line in lines))
        return listed


def main() -> int:
    """Run the benchmark."""
    options = parser("Click to guests set up, against a bare shell script and peers")
    options.add_argument("--guests", default="1,2,4", help="how many, with commas")
    options.add_argument("--repeat", type=int, default=3)
    options.add_argument("--hosts", type=int, default=1, choices=(1, 2))
    options.add_argument("--stages", action="store_true", help="show each instruction")
    options.add_argument(
        "--peers", action="store_true", help="install virt-install, Vagrant and kcli"
    )
    chosen = options.parse_args()
    counts = [int(word) for word in chosen.guests.split(",")]
    table = Table(f"up on {chosen.hosts} host(s), median of {chosen.repeat}")
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbu") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        peers = find_peers(stack, max(counts), chosen)
        for count in counts:
            contest = Contest(stack, client, count=count, hosts=chosen.hosts)
            compare(contest, peers, table, chosen.repeat)
            if chosen.stages:
                contest.show_stages()
    return conclude(table, strict=chosen.strict)


def find_peers(stack: Stack, count: int, chosen: argparse.Namespace) -> Peers:
    """Prepare main for the peers; return those that can run there."""
    setup = stack.folder / "setup.sh"
    setup.write_text(SETUP)
    site = Site(stack.main, stack.folder / "peers", setup=setup)
    if chosen.hosts > 1:
        print("  not timed: peers: none of them places guests on two hosts")
        return Peers(site, [])
    peers = Peers(site, [peer(site) for peer in PEERS])
    offered = json.loads((stack.catalogue / "test_guest.json").read_text())
    guests = [PeerGuest(number) for number in range(count)]
    peers.prepare(Path(offered["path"]), guests, should_install=chosen.peers)
    return peers


def compare(contest: Contest, peers: Peers, table: Table, repeat: int) -> None:
    """Run all by turns after a warm-up of all, and add the medians."""
    guests = "1 guest" if contest.count == 1 else f"{contest.count} guests"
    turns = []
    for turn in range(repeat + 1):
        if turn == 1:
            contest.stages.clear()
        seconds = {OURS: contest.product_s(), FLOOR_TITLE: contest.floor_s()}
        seconds |= contest.peers_s(peers)
        contest.clear()
        shown = ", ".join(f"{title} {taken:.2f} s" for title, taken in seconds.items())
        print(f"  {guests}: {shown}{'' if turn else ' (warm-up)'}")
        turns.append(seconds)
    add_medians(table, guests, turns[1:])


def add_medians(table: Table, guests: str, turns: list[dict[str, float]]) -> None:
    """Add our seconds, and each other's with the ratio of ours to them.

    A peer that failed in one of the turns has no row.
    """
    medians = {
        title: median(turn[title] for turn in turns)
        for title in turns[0]
        if all(title in turn for turn in turns)
    }
    ours_s = medians.pop(OURS)
    table.add(f"{guests}: click to all set up", ours_s, "s")
    for title, taken in medians.items():
        target = TARGET if title == FLOOR_TITLE else None
        table.add(f"  {title}", taken, "s")
        table.add("    ratio of ours", ours_s / taken, at_most=target)


def write_testbed(target: Path, count: int, hosts: int) -> None:
    """Write a testbed; with two hosts every other guest is on the second."""
    target.mkdir()
    (target / "setup.sh").write_text(SETUP)
    bridges = min(hosts, count)
    lines = ["machines:\n"]
    lines += [GUEST.format(n=n, bridge=n % bridges) for n in range(count)]
    lines += ["network:\n", "  bridges:\n"]
    lines += [f"    - name: br{n}\n" for n in range(bridges)]
    if bridges > 1:
        lines.append("  bridge_connections:\n    br0: br1\n")
    lines.append("  external_bridge: br0\n")
    (target / "kvm-compose.yaml").write_text("".join(lines))


def remove(host: NamespaceHost, guest: Frame) -> None:
    """Remove one domain and its disk, of the product or of the script."""
    virsh = ("virsh", "-q", "-c", "qemu:///system")
    host.run(*virsh, "destroy", guest["domain"], check=False)
    host.run(*virsh, "undefine", guest["domain"], check=False)
    host.run("rm", "-f", guest["disk"])


if __name__ == "__main__":
    sys.exit(main())
