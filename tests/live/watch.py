"""Observations of the live tests: a run's frames, guests' insides, things on hosts.

`Ran` is a run as its client saw it. `Guest` looks into a guest with the system's own
ssh from the guest's host, past the product. `holdings` is everything on a host that
a testbed could leave behind.
"""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from orchestration.project.folder import Project
from testbed.client.rest.server import StartedRun
from testbed.client.watching import Frame, frames, send
from tests import waiting
from tests.live.client import Client
from tests.live.rows import rows
from tests.live.stack import NamespaceHost, Stack

DATA = Path(__file__).resolve().parents[1] / "data/live"
PATIENCE_S = 120
wait_until = partial(waiting.wait_until, timeout_s=PATIENCE_S, pause_s=0.2)
LOOKS = 60
# What a testbed's devices are called: its number, or libvirt's own names.
DEVICE = re.compile(r"link (t\d+\D.*|vnet\d+|virbr\d+(-nic)?)")
# What the rows have other words for than pages.
WORDS = {"empty": "draft", "absent": "stopped"}
Act = Callable[["Ran", Frame], None]


@dataclass
class Ran:
    """A run: what came over its websocket, in order."""

    started: StartedRun
    frames: list[Frame] = field(default_factory=list)

    @property
    def status(self) -> str:
        """How it ended."""
        return str(self.frames[-1].get("status"))

    @property
    def words(self) -> str:
        """The message and the hint at the end of the run."""
        return f"{self.frames[-1]['message']} {self.frames[-1]['hint']}"

    @property
    def log(self) -> str:
        """All lines, each after its resource's name."""
        lines = (f for f in self.frames if f.get("kind") == "log")
        return "\n".join(f"{f['resource']}: {f['text']}" for f in lines)

    def of(self, kind: str) -> dict[str, Frame]:
        """Return how an instruction went for each `resource on host`."""
        index = next(i["index"] for i in self.started.instructions if i["kind"] == kind)
        for frame in self.frames:
            if frame["type"] == "result" and frame["index"] == index:
                return {r["name"]: r for r in frame["resources"]}
        raise AssertionError(f"{kind} has no result: {self.words}")

    def statuses(self) -> dict[str, set[str]]:
        """Return each instruction's kind with how its resources ended."""
        kinds = {i["index"]: i["kind"] for i in self.started.instructions}
        results = (f for f in self.frames if f["type"] == "result")
        return {
            kinds[f["index"]]: {r["status"] for r in f["resources"]} for f in results
        }

    def is_at(self, frame: Frame, kind: str, event: str) -> bool:
        """Say whether a frame is this event of this kind of instruction."""
        index = next(i["index"] for i in self.started.instructions if i["kind"] == kind)
        return frame.get("kind") == event and frame["index"] == index

    def finished(self, resource: str) -> Frame:
        """Return the last end of a resource's task, with its detail."""
        return next(
            f["data"]
            for f in reversed(self.frames)
            if f.get("kind") == "task-finished" and f["resource"] == resource
        )


def ran(
    client: Client, slug: str, command: str, act: Act | None = None, **options: bool
) -> Ran:
    """Drive a command to its end; `act` sees every frame as it comes."""
    run = Ran(client.start(slug, command, **options))

    def note(frame: Frame) -> None:
        run.frames.append(frame)
        if act is not None:
            act(run, frame)

    client.drive(run.started, note)
    return run


@contextmanager
def pair_up(stack: Stack, owner: Client, slug: str) -> Iterator[None]:
    """Have a testbed of two guests up, one on each host; nothing is left of it."""
    before = holdings(stack)
    if not owner.has_testbed(slug):  # the folder's files may come in parts
        owner.create_testbed(slug, DATA / "line")
    up = ran(owner, slug, "up")
    assert up.status == "succeeded", up.words
    yield
    assert ran(owner, slug, "down").status == "succeeded"
    assert holdings(stack) == before


def followed(client: Client, started: StartedRun, *, after: int = 0) -> Ran:
    """Subscribe to a run that somebody else drives, until it is over."""
    run = Ran(started)
    client.follow(started.number, run.frames.append, after=after)
    return run


def cancel(client: Client, number: int) -> None:
    """Send the cancel frame from a window of its own, which closes when it counts."""
    with client.socket(number) as socket:
        send(socket, {"type": "cancel"})
        for frame in frames(socket):
            if frame.get("kind") == "cancel-requested" or frame["type"] == "run":
                return


def key_of(stack: Stack, name: str) -> str:
    """Return the key of `owner/lab`, or of the only `lab`: what it is called on hosts."""
    owner, _, name = name.rpartition("/")
    query = (
        "SELECT t.slug FROM testbed_testbed t JOIN auth_user u ON u.id = t.owner_id"
        " WHERE t.name = ? AND ? IN (u.username, '')"
    )
    ((key,),) = rows(stack, query, name, owner)
    return str(key)


def project(stack: Stack, slug: str) -> Project:
    """Return a testbed's folder."""
    return Project(stack.data / "testbeds" / key_of(stack, slug))


def condition(stack: Stack, slug: str) -> str:
    """Return the testbed's condition, as pages name it."""
    query = "SELECT condition FROM testbed_testbed WHERE slug = ?"
    ((found,),) = rows(stack, query, key_of(stack, slug))
    return WORDS.get(str(found), str(found))


def wait_until_observed(stack: Stack, slug: str, **wanted: str) -> None:
    """Wait until each guest was seen as wanted; `web="running on main"`."""
    query = (
        "SELECT g.name, g.status FROM testbed_observedguest g"
        " JOIN testbed_testbed t ON t.id = g.testbed_id WHERE t.slug = ?"
    )
    key = key_of(stack, slug)
    places = {g.name: g.host for g in project(stack, slug).read_state().guests}

    def seen() -> dict[str, str]:
        found = {str(name): str(status) for name, status in rows(stack, query, key)}
        found = {name: WORDS.get(status, status) for name, status in found.items()}
        return {n: f"{found.get(n, 'stopped')} on {h}" for n, h in places.items()}

    wait_until(lambda: wanted.items() <= seen().items(), f"{wanted} is not observed")


class Guest:
    """A running guest, entered from its host with the testbed's key."""

    def __init__(self, stack: Stack, slug: str, name: str) -> None:
        state = project(stack, slug).read_state()
        guest = state.guest(name)
        assert guest.management is not None
        self.host = host_of(stack, guest.host)
        self._address = guest.management.address
        self._key = state.identity_file
        public = project(stack, slug).artefacts / f"{name}-host-key.pub"
        self._known = stack.folder / f"known-{state.testbed}-{name}"
        self._known.write_text(f"{self._address} {public.read_text()}")

    def ssh(self, *flags: str) -> list[str]:
        """Return the words that log in to the guest from its host."""
        options = ["BatchMode=yes", "ConnectTimeout=30", "LogLevel=ERROR"]
        options += [f"UserKnownHostsFile={self._known}", "IdentitiesOnly=yes"]
        words = ["ssh", *flags, "-F", "none", "-i", self._key]
        words += [word for option in options for word in ("-o", option)]
        return self.host.in_its_network(*words, f"nocloud@{self._address}")

    def run(self, command: str) -> str:
        """Run a shell command as root in the guest and return its output."""
        done = subprocess.run(
            [*self.ssh(), "sudo", "sh", "-s"],
            input=command,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    @property
    def boot(self) -> str:
        """The id of this boot of the guest."""
        return self.run("cat /proc/sys/kernel/random/boot_id")


def host_of(stack: Stack, name: str) -> NamespaceHost:
    """Return a host by the product's name for it."""
    return {"main": stack.main, "host-b": stack.other, "host-c": stack.third}[name]


def holdings(stack: Stack) -> dict[str, set[str]]:
    """Return what each host holds of testbeds, as `kind name`."""
    names = ("main", "host-b", *(["host-c"] if stack.third.is_started else []))
    return {name: _holdings(host_of(stack, name)) for name in names}


def _holdings(host: NamespaceHost) -> set[str]:
    """Look until nothing is on its way out: what a later look misses is no leftover.

    A kernel takes a device away, and a process ends, some time after who owned it is
    gone. A command of a host check carries a tag, but only for a moment.
    """
    found = _holdings_now(host)
    for _ in range(LOOKS):
        if not _passing(found):
            break
        time.sleep(1)
        found &= _holdings_now(host)
    return found


def _passing(found: set[str]) -> set[str]:
    """Return what may be on its way out: all that nothing seems to hold."""
    tagged = {thing for thing in found if thing.endswith(" tagged")}
    owners = ("domain ", "network ", "bridge t")
    if any(thing.startswith(owners) for thing in found):
        return tagged
    loose = {thing for thing in found if DEVICE.fullmatch(thing)}
    return tagged | loose | {thing for thing in found if thing.startswith("process ")}


def _holdings_now(host: NamespaceHost) -> set[str]:
    found = {f"domain {n}" for n in _lines(host, "virsh", "list", "--all", "--name")}
    networks = _lines(host, "virsh", "net-list", "--all", "--name")
    found |= {f"network {name}" for name in networks}
    found |= {f"bridge {name}" for name in _lines(host, "ovs-vsctl", "list-br")}
    for bridge in _lines(host, "ovs-vsctl", "list-br"):
        ports = _lines(host, "ovs-vsctl", "list-ports", bridge)
        found |= {f"port {name}" for name in ports}
    links = json.loads(host.run("ip", "-j", "link"))
    found |= {f"link {link['ifname']}" for link in links}
    return found | _processes_now(host)


def _processes_now(host: NamespaceHost) -> set[str]:
    found = set()
    pids = subprocess.run(
        ["ip", "netns", "pids", host.name], check=True, capture_output=True, text=True
    ).stdout.split()
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            environ = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        program = words[0].decode().rsplit("/", 1)[-1]
        if program.startswith(("qemu", "dnsmasq")):
            found.add(f"process {program} {pid}")
        elif b"TESTBED_TAG=" in environ:
            found.add(f"process {program} {pid} tagged")
    return found


def _lines(host: NamespaceHost, *command: str) -> list[str]:
    return host.run(*command).split()
