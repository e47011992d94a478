"""Acts on the product's own processes and on the hosts' daemons."""

from testbed.client.rest.problems import ServerProblem
from tests.live.chaos.acts.act import Act, Family, once
from tests.live.chaos.acts.runs import whole_or_down
from tests.live.chaos.lab import Lab, Testbed
from tests.live.faults import FAULTS
from tests.live.injection import strike

STAGES = (
    "Check hosts",
    "Prepare hosts",
    "Network",
    "Distribute",
    "Start guests",
    "Set up guests",
)
# The others wait for leases and connections to end: half a minute each.
QUICK = (
    "pool process killed",
    "worker killed",
    "web server killed",
    "Redis restarted empty",
)
SLOW = ("libvirtd restarted", "sshd restarted", "link to host lost", "worker frozen")
OTHER = "host-b"


def strike_quickly(lab: Lab, testbed: Testbed) -> None:
    """A process of the product dies under an Up."""
    _strike(lab, testbed, QUICK)


def strike_slowly(lab: Lab, testbed: Testbed) -> None:
    """A daemon or the cable of a host goes under an Up."""
    _strike(lab, testbed, SLOW)


def _strike(lab: Lab, testbed: Testbed, names: tuple[str, ...]) -> None:
    fault, stage = FAULTS[lab.random.choice(names)], lab.random.choice(STAGES)
    lab.say(f"    {fault.name} in {stage!r}")
    lab.note_before(testbed, "up")
    seed = lab.random.randrange(10**6)
    struck = strike(
        lab.stack, testbed.client, testbed.slug, fault, stage=stage, seed=seed
    )
    lab.problems += struck.problems
    if struck.run.frames:
        lab.note_after(testbed, "up", struck.run)


def restart_worker(lab: Lab, _: str) -> None:
    """The worker is killed while nothing runs, and starts again."""
    _die(lab, "worker killed")


def restart_web(lab: Lab, _: str) -> None:
    """The web server is killed while nothing runs, and starts again."""
    _die(lab, "web server killed")


def restart_redis(lab: Lab, _: str) -> None:
    """Redis is killed while nothing runs, and starts again without its messages."""
    _die(lab, "Redis restarted empty")


def restart_libvirtd(lab: Lab, _: str) -> None:
    """Both hosts' libvirtd restart; guests and networks go on."""
    _die(lab, "libvirtd restarted")


def restart_sshd(lab: Lab, _: str) -> None:
    """The other host's sshd restarts, with its sessions."""
    _die(lab, "sshd restarted")


def _die(lab: Lab, name: str) -> None:
    FAULTS[name].strike(lab.stack)
    FAULTS[name].mend(lab.stack)


def cut_off_host(lab: Lab, testbed: Testbed) -> None:
    """Up of a testbed on a host that is cut off fails, names it, and touches nothing."""
    lab.stack.other.cut()
    try:
        done = lab.run(testbed, "up")
        lab.require(done.status == "failed", f"up without a host {done.status}")
        lab.require(OTHER in done.words, f"up does not name the host: {done.words}")
        lab.require("check-hosts" in done.statuses(), f"it goes on: {done.statuses()}")
    except ServerProblem as refusal:
        lab.require(False, f"up without a host is refused: {refusal}")
    finally:
        lab.stack.other.mend()
        lab.stack.main.wait_until_it_reaches(lab.stack.other)


def on_both_hosts(lab: Lab) -> list[Testbed]:
    """Return the testbeds with nothing wrong that use the other host."""
    return [t for t in whole_or_down(lab) if "br1" in t.written.bridges]


ACTS = (
    Act(Family.KILL, "kill a process under an up", whole_or_down, strike_quickly, 3),
    Act(Family.CUT, "cut a host under an up", whole_or_down, strike_slowly, 1),
    Act(Family.KILL, "kill the worker", once, restart_worker, 1),
    Act(Family.KILL, "kill the web server", once, restart_web, 1),
    Act(Family.KILL, "kill Redis", once, restart_redis, 1),
    Act(Family.KILL, "restart libvirtd", once, restart_libvirtd, 1),
    Act(Family.KILL, "restart sshd", once, restart_sshd, 1),
    Act(Family.CUT, "up without a host", on_both_hosts, cut_off_host, 1),
)
