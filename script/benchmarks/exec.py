"""`script/bench exec`: commands and files on many targets, against other tools.

Commands run on 10, 50 and 200 targets, directly and through a jump host: by the
product's engine, cold and with kept connections, and from the click to the last answer
on the page; and by OpenSSH, clush, asyncssh, parallel-ssh, Ansible and pyinfra. Files go
to one target and back, against scp, rsync and sftp. All take turns on the same sshd.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.execution.contestants import (
    ANSIBLE,
    ASYNCSSH,
    OUR_LINE,
    OURS,
    Contestant,
    Tools,
    all_of,
    install,
)
from benchmarks.execution.copies import Copies, Way, make_sources
from benchmarks.execution.deployed import AWAY, MAIN, deploy
from benchmarks.execution.ours import project_of
from benchmarks.execution.page import Page, page_of
from benchmarks.execution.site import Case, Site, enter_own_network
from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.peers.site import CannotRun
from tests.live.stack import CHECKOUT

WARM, COLD, COPY = 1.2, 1.15, 1.1
ANSIBLE_TIMES = 20
PAGE_S = 2.0
FLOOD_LINES = 5000
REQUIREMENTS = CHECKOUT / "script/benchmarks/peers/requirements.txt"
VENV = CHECKOUT / "var/bench-peers"
JOBS = {
    "true": (("true",), 0),
    "100 lines": (("seq", "1000001", "1000100"), 100),
}
PARTS = ("commands", "copies", "page", "flood")


def main() -> int:
    """Run the benchmark."""
    chosen = options().parse_args()
    if chosen.peers:
        install_peers(chosen.venv)
    enter_own_network()
    counts = [int(word) for word in chosen.targets.split(",")]
    table = Table(f"exec, median of {chosen.repeat}, load {os.getloadavg()[0]:.1f}")
    with folder(keep=chosen.keep) as place:
        site = Site(place)
        for host in (MAIN, AWAY):
            deploy(project_of(place, host), "exec", site, count=max(counts), host=host)
        site.start()
        try:
            measure(table, site, counts, chosen)
        finally:
            site.stop()
    return conclude(table, strict=chosen.strict)


def options() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    found = parser("commands and files on many targets, against other tools")
    found.add_argument("--targets", default="10,50,200", help="how many, with commas")
    found.add_argument("--repeat", type=int, default=5)
    found.add_argument("--only", help=f"some of {','.join(PARTS)}, with commas")
    found.add_argument("--against", help="some of the others' titles, with commas")
    found.add_argument("--mib", type=int, default=100, help="of the large files")
    found.add_argument("--files", type=int, default=1000, help="the small files")
    found.add_argument(
        "--peers", action="store_true", help="install Ansible, pyinfra, parallel-ssh"
    )
    found.add_argument("--venv", type=Path, default=VENV, help="where the peers are")
    return found


def install_peers(venv: Path) -> None:
    """Install the peers where a network is; say it when that fails."""
    try:
        if not (venv / "bin/python").exists():
            install(venv, REQUIREMENTS)
    except CannotRun as exc:
        print(f"  not installed: {exc}")


def measure(
    table: Table, site: Site, counts: list[int], chosen: argparse.Namespace
) -> None:
    """Add the rows of all parts that were asked for."""
    parts = chosen.only.split(",") if chosen.only else PARTS
    if "commands" in parts:
        against = chosen.against.split(",") if chosen.against else ()
        contestants = all_of(site, Tools(chosen.venv), against)
        Contest(table, contestants).run(counts, chosen.repeat)
    if "copies" in parts:
        copies(table, site, chosen)
    for count in counts:
        wanted = [part for part in ("page", "flood") if part in parts]
        if wanted:
            with page_of(site, site.folder / f"page{count}", count) as page:
                for part in wanted:
                    PAGES[part](table, page, count, chosen.repeat)


class Contest:
    """All contestants by turns; one that fails is not tried again."""

    def __init__(self, table: Table, contestants: Sequence[Contestant]) -> None:
        self._table = table
        self._ready: list[Contestant] = []
        for contestant in contestants:
            self._add_ready(contestant)

    def run(self, counts: list[int], repeat: int) -> None:
        """Add the rows of each number of targets, direct and through the jump."""
        try:
            for has_jump in (False, True):
                for count in counts:
                    for title, (words, lines) in JOBS.items():
                        case = Case(count, has_jump, words, count and lines)
                        self._compare(title, case, repeat)
        finally:
            for contestant in self._ready:
                contestant.stop()

    def _add_ready(self, contestant: Contestant) -> None:
        try:
            contestant.find()
        except CannotRun as exc:
            print(f"  not timed: {contestant.title}: {exc}")
            return
        self._ready.append(contestant)

    def _compare(self, title: str, case: Case, repeat: int) -> None:
        cold: dict[str, list[float]] = defaultdict(list)
        warm: dict[str, list[float]] = defaultdict(list)
        for _ in range(repeat):
            for contestant in tuple(self._ready):
                try:
                    cold[contestant.title].append(contestant.cold(case))
                    if contestant.keeps:
                        warm[contestant.title].append(contestant.warm(case))
                    contestant.close()
                except CannotRun as exc:
                    print(f"  not timed: {contestant.title}: {exc}")
                    contestant.stop()
                    self._ready.remove(contestant)
        way = " through a jump host" if case.has_jump else ""
        what = f"{case.targets} targets{way}, {title}"
        self._add(f"{what}, cold", _medians(cold))
        self._add_warm(f"{what}, warm", _medians(warm))

    def _add(self, what: str, found: dict[str, float]) -> None:
        """Add the seconds, and ours as a ratio to the best of the others."""
        ours = found.pop(OURS)
        self._table.add(what, 1000 * ours, "ms")
        for title, seconds in found.items():
            self._table.add(f"  {title}", 1000 * seconds, "ms")
        if found:
            best = ours / min(found.values())
            self._table.add("  ratio to the best", best, at_most=COLD)

    def _add_warm(self, what: str, found: dict[str, float]) -> None:
        ours = found.pop(OURS)
        self._table.add(what, 1000 * ours, "ms")
        for title, seconds in found.items():
            self._table.add(f"  {title}", 1000 * seconds, "ms")
        ratio = ours / found[ASYNCSSH]
        self._table.add("  ratio to asyncssh", ratio, at_most=WARM)
        if OUR_LINE in found:
            same = ours / found[OUR_LINE]
            self._table.add("  ratio to asyncssh with our line", same)
        if ANSIBLE in found:
            times = found[ANSIBLE] / ours
            self._table.add(
                "  times faster than Ansible", times, at_least=ANSIBLE_TIMES
            )


def copies(table: Table, site: Site, chosen: argparse.Namespace) -> None:
    """Add the rows of pushes and fetches."""
    sources = make_sources(site, mib=chosen.mib, files=chosen.files)
    ways = Copies(site)
    for verb, found in (("push", ways.pushes), ("fetch", ways.fetches)):
        for title, source in sources.items():
            seconds = _by_turns(ways, found, source, chosen.repeat)
            ours = seconds.pop(OURS)
            table.add(f"{verb} of {title}", ours, "s")
            for name, each in seconds.items():
                table.add(f"  {name}", each, "s")
            best = min(seconds.values())
            table.add("  ratio to the best", ours / best, at_most=COPY)


def _by_turns(
    ways: Copies, found: dict[str, Way], source: Path, repeat: int
) -> dict[str, float]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeat):
        for name, way in found.items():
            seconds[name].append(ways.timed(way, source))
    return _medians(seconds)


def add_page(table: Table, page: Page, count: int, repeat: int) -> None:
    """Add the seconds from the click to the last answer on the page."""
    wanted = {"form": "command", "words": ["true"]}
    table.add(f"{count} targets, click to page, first", page.click(wanted).seconds, "s")
    later = [page.click(wanted).seconds for _ in range(repeat)]
    table.add("  later, on kept connections", median(later), "s", at_most=PAGE_S)


def add_flood(table: Table, page: Page, count: int, repeat: int) -> None:
    """Add what a page of many long answers costs, all equal and all different."""
    for what, line in (
        ("equal", f"seq 1 {FLOOD_LINES}"),
        ("different", f"seq $$ $(($$ + {FLOOD_LINES - 1}))"),
    ):
        seen = page.click({"form": "shell", "words": [line]})
        table.add(f"{count} times {FLOOD_LINES} lines, {what}", seen.seconds, "s")
        table.add("  the list of answers", seen.list_s, "s")
        table.add("  the page", seen.page_bytes / 1024, "KiB")
        table.add("  sent over the websocket", seen.sent_bytes / 1024, "KiB")
    web, worker = page.peaks_mib()
    table.add("  peak memory of the web", web, "MiB")
    table.add("  of the largest worker process", worker, "MiB")


PAGES = {"page": add_page, "flood": add_flood}


def _medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {title: median(seconds) for title, seconds in found.items() if seconds}


if __name__ == "__main__":
    sys.exit(main())
