"""The lab of the chaos test: three testbeds of two users, and what is known of them.

Acts work on it, `checks.py` compares it. `Lab.look` reads both hosts past the product;
`boots` keeps each guest's boot id from one check to the next.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx

from orchestration.state.model import GuestState, State
from tests.live.chaos.expected import FIREWALL, Expected, table_of
from tests.live.chaos.host_facts import HostFacts, read
from tests.live.chaos.yaml import Machine, Written
from tests.live.client import Client
from tests.live.rows import rows
from tests.live.stack import NamespaceHost, Stack
from tests.live.watch import Act as OnFrame
from tests.live.watch import Ran, host_of, project, ran

HOSTS = ("main", "host-b")
SETUP = "#!/bin/sh\necho set up\n"
# Name, owner, and what is written first.
TESTBEDS = (
    (
        "chaos-a",
        "owner",
        Written(("br0", "br1"), {"near": Machine(("br0",)), "away": Machine(("br1",))}),
    ),
    (
        "chaos-b",
        "owner",
        Written(("br0",), {"solo": Machine(("br0",))}, has_script=True),
    ),
    (
        "chaos-c",
        "other",
        Written(("br0", "br1"), {"near": Machine(("br0",)), "away": Machine(("br1",))}),
    ),
)
# A web server that was just started again refuses the first requests.
WEB_WITHIN_S = 60
GuestKey = tuple[str, str]


class Foreign:
    """A thing on a host that no testbed made; `probe` prints the same while it stands."""

    def __init__(
        self, kind: str, host: NamespaceHost, name: str, probe: str, removal: str
    ) -> None:
        self.kind = kind
        self.host = host
        self.name = name
        self.probe = probe
        self.removal = removal
        self.first = self.found()
        assert self.first, f"{self} was not made"

    def __str__(self) -> str:
        return f"{self.kind} {self.name} on {self.host.name}"

    def found(self) -> str:
        """Return what its probe prints now."""
        return plain(self.host.run("sh", "-c", self.probe, check=False))

    def stands(self) -> bool:
        """Return whether it is as it was made."""
        return self.found() == self.first

    def remove(self) -> None:
        """Remove it, as its owner does."""
        self.host.run("sh", "-c", self.removal)


def plain(text: str) -> str:
    """Return a probe's answer without the width of its columns."""
    return " ".join(text.split())


@dataclass
class Testbed:
    """One testbed: its user, its files as last written, and what its user knows.

    `restarts` are the guests that the next `up` stops: an edit changed them. `last` is
    the last command that touched the hosts, and how it ended, and `applied` is what was
    written when the last Up succeeded.
    """

    __test__ = False

    slug: str
    owner: str
    client: Client
    written: Written
    applied: Written | None = None
    restarts: set[str] = field(default_factory=set)
    last: tuple[str, str] = ("", "")


@dataclass
class Lab:
    """The testbeds, the hosts, and all that has to stay as it is."""

    stack: Stack
    testbeds: dict[str, Testbed]
    scratch: Path
    foreign: list[Foreign] = field(default_factory=list)
    boots: dict[GuestKey, str] = field(default_factory=dict)
    tables: dict[tuple[str, str], str] = field(default_factory=dict)
    facts: dict[str, HostFacts] = field(default_factory=dict)
    touched: set[GuestKey] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    random: Random = field(default_factory=Random)
    say: Callable[[str], None] = print

    def look(self) -> dict[str, HostFacts]:
        """Read both hosts anew."""
        projects = str(self.stack.data / "testbeds")
        self.facts = {name: read(host_of(self.stack, name), projects) for name in HOSTS}
        return self.facts

    def host(self, name: str) -> NamespaceHost:
        """Return a host by the product's name for it."""
        return host_of(self.stack, name)

    def state(self, testbed: Testbed) -> State | None:
        """Return the state, or None for a draft."""
        found = project(self.stack, testbed.slug)
        return found.read_state() if found.has_state() else None

    def states(self) -> Iterator[tuple[Testbed, State]]:
        """Yield each testbed that has a state."""
        for testbed in self.testbeds.values():
            if state := self.state(testbed):
                yield testbed, state

    def expected(self, state: State) -> Expected:
        """Compare a state with the last look."""
        return Expected(state, self.facts, self.tables)

    def guests(self, *statuses: str) -> list[tuple[Testbed, GuestState]]:
        """Return the guests that had one of these statuses at the last look."""
        return [
            (testbed, guest)
            for testbed, state in self.states()
            for guest in state.guests
            if self.expected(state).status(guest) in statuses
        ]

    def is_down(self, testbed: Testbed) -> bool:
        """Return whether the last look found nothing of a testbed."""
        return not self.things_of(testbed)

    def number(self, testbed: Testbed) -> int:
        """Return the number that the names of a testbed's things begin with."""
        query = "SELECT number FROM testbed_testbed WHERE name = ?"
        ((number,),) = rows(self.stack, query, testbed.slug)
        return int(str(number))

    def things_of(self, testbed: Testbed) -> set[str]:
        """Return all on the hosts that is named for a testbed, without foreign things."""
        number = self.number(testbed)
        names = {
            f"{thing} on {host}"
            for host, facts in self.facts.items()
            for thing in facts.names_of(number)
        }
        theirs = {
            (n, f.host.name) for f in self.foreign for n in (f.name, f"{f.name}p")
        }
        ours = {HOSTS[0]: self.stack.main.name, HOSTS[1]: self.stack.other.name}
        return {
            name
            for name in names
            if (name.split()[-3], ours[name.split()[-1]]) not in theirs
        }

    def whole(self) -> list[Testbed]:
        """Return the testbeds of which nothing was missing at the last look."""
        return [
            testbed
            for testbed, state in self.states()
            if testbed.last == ("up", "succeeded")
            and not self.expected(state).missing()
        ]

    def touch(self, testbed: Testbed, *names: str) -> None:
        """Note guests that the act may restart."""
        self.touched |= {(testbed.slug, name) for name in names}

    def run(
        self,
        testbed: Testbed,
        command: str,
        on_frame: OnFrame | None = None,
        **options: bool,
    ) -> Ran:
        """Drive a command to its end, and note the guests that it may restart."""
        self.note_before(testbed, command, **options)
        done = ran(testbed.client, testbed.slug, command, on_frame, **options)
        self.note_after(testbed, command, done)
        return done

    def note_before(self, testbed: Testbed, command: str, **options: bool) -> None:
        """Note the guests that a command may restart: those that do not run."""
        state = self.state(testbed)
        if command == "generate-artefacts" or state is None:
            return
        is_hard = command != "up" or options.get("provision", False)
        expected = self.expected(state)
        off = [g.name for g in state.guests if is_hard or not expected.run_of(g)]
        self.touch(testbed, *off, *testbed.restarts)

    def note_after(self, testbed: Testbed, command: str, done: Ran) -> None:
        """Note how a command ended, and with which words when it did not succeed."""
        words = "" if done.status == "succeeded" else f": {done.words}"
        self.say(f"    {command} of {testbed.slug} {done.status}{words}")
        if command != "generate-artefacts":
            testbed.last = (command, done.status)
        if done.status == "succeeded" and command != "generate-artefacts":
            testbed.restarts.clear()
        if (command, done.status) == ("up", "succeeded"):
            testbed.applied = testbed.written
            self._note_tables(testbed)

    def _note_tables(self, testbed: Testbed) -> None:
        """Note the tables of nftables as an Up leaves them; the hosts' own once."""
        table = table_of(self.number(testbed))
        for host, facts in self.look().items():
            found = facts.tables
            if FIREWALL in found:
                self.tables.setdefault((host, FIREWALL), found[FIREWALL])
            if table in found:
                self.tables[host, table] = found[table]

    def require(self, holds: bool, problem: str) -> None:
        """Note a problem of the product unless the condition holds."""
        if not holds:
            self.problems.append(problem)

    def succeeds(self, testbed: Testbed, command: str, **options: bool) -> Ran:
        """Run a command that has to succeed."""
        done = self.run(testbed, command, **options)
        self.require(
            done.status == "succeeded",
            f"{command} of {testbed.slug} {done.status}: {done.words}",
        )
        return done

    def write(self, testbed: Testbed, written: Written, *, script: str = SETUP) -> None:
        """Save a testbed's files as its user does."""
        folder = self.scratch / testbed.slug
        (folder / "scripts").mkdir(parents=True, exist_ok=True)
        (folder / "kvm-compose.yaml").write_text(written.text())
        (folder / "scripts/setup.sh").write_text(script)
        if testbed.client.has_testbed(testbed.slug):
            testbed.client.update_files(testbed.slug, folder)
        else:
            testbed.client.create_testbed(testbed.slug, folder)
        testbed.written = written

    def asked(self, ask: Callable[[], str]) -> str:
        """Ask the web, again while it does not answer."""
        deadline = time.monotonic() + WEB_WITHIN_S
        while True:
            try:
                return ask()
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@contextmanager
def made(stack: Stack, scratch: Path) -> Iterator[Lab]:
    """Create the testbeds, each with a client of its own; nothing is up."""
    lab = Lab(stack, {}, scratch)
    for slug, owner, written in TESTBEDS:
        client = stack.client(owner)
        lab.testbeds[slug] = Testbed(slug, owner, client, written)
        lab.write(lab.testbeds[slug], written)
    try:
        lab.look()
        yield lab
    finally:
        for testbed in lab.testbeds.values():
            testbed.client.close()


def setting(name: str, default: str) -> str:
    """Return a setting of the chaos test from the environment."""
    return os.environ.get(f"CHAOS_{name}", default)
