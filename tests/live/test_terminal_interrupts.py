"""Ctrl+C of the real `testbed` in the stages of Up: at hosts, disks and in guests.

Once cancels on the server, twice leaves the run to a second process. The product's
hosts and guests are rehearsed; a program on a host or in the guest web takes ten minutes.
"""

import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.live.stack import Stack
from tests.live.test_terminal import (
    HELD,
    Terminal,
    ended,
    hold,
    number_of,
    read_until,
)
from tests.live.test_terminal import home as home
from tests.live.test_terminal import terminal as terminal
from tests.live.watch import wait_until
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.live
SCRIPTS = {"setup_script": "a.sh", "run_script": "b.sh"}
IMAGE = "{name: ubuntu_22_04"
NUMBER = """
from testbed.models import Testbed
print("number", Testbed.objects.get(name={name!r}).number)
"""
RUNNER = "sh -s -- /etc/nocloud/script-run"
STAGES = (
    ("Set up 2 guests", f"{RUNNER} /tmp/testbed-web-a.sh"),
    ("Run the scripts of 2 guests", f"{RUNNER} /tmp/testbed-web-b.sh"),
)


# The title, and the program on a host that it waits for.
HOST_STAGES = (
    ("Check 2 hosts", "ovs-appctl"),
    ("Create 2 disks", "qemu-img create"),
)


class Web:
    """The simulated guest web of a testbed, which can be told to be slow."""

    def __init__(self, product: Stack, testbed: str) -> None:
        number = product.shell(NUMBER.format(name=testbed)).split()[-1]
        folder = product.data / "runtime/simulated"
        self.faults = folder / f"t{number}-web.faults.json"
        self._state = folder / f"t{number}-web.json"

    def hold(self, command: str) -> None:
        """Let a command take ten minutes."""
        self.faults.parent.mkdir(parents=True, exist_ok=True)
        self.faults.write_text(json.dumps({command: {"sleep_s": 600}}))

    def is_held(self) -> bool:
        """Return whether a command takes its time now."""
        if not self._state.exists():
            return False
        return bool(json.loads(self._state.read_text()).get("sleepers"))


@pytest.fixture
def web(terminal: Terminal, product: Stack) -> Iterator[Web]:
    """The guest of a testbed with scripts whose artefacts are there."""
    folder = terminal.folder
    words = "".join(f", {key}: {name}" for key, name in SCRIPTS.items())
    (folder / "kvm-compose.yaml").write_text(YAML.replace(IMAGE, IMAGE + words))
    for name in SCRIPTS.values():
        (folder / name).write_text(f"echo {name}\n")
    terminal.run("generate-artefacts")
    web = Web(product, folder.name)
    yield web
    web.faults.unlink(missing_ok=True)


def cancelled_by_one(process: "subprocess.Popen[str]", number: str) -> None:
    """Interrupt once: the server's word is waited for."""
    process.send_signal(signal.SIGINT)
    code, said = ended(process)
    assert code == 130, said
    assert f"Run {number} cancelled." in said


def left_by_two(
    process: "subprocess.Popen[str]", number: str, terminal: Terminal
) -> None:
    """Interrupt twice: the run goes on, until a second process cancels it."""
    process.send_signal(signal.SIGINT)
    read_until(process, "Ctrl+C once more leaves it running")
    process.send_signal(signal.SIGINT)
    code, said = ended(process)
    assert code == 130, said
    assert f"testbed attach {number}" in said
    newest = json.loads(terminal.run("runs", "--json"))["items"][0]
    assert (newest["run"], newest["status"]) == (int(number), "running")
    second = terminal.start("attach", number)
    terminal.run("cancel", number)
    code, said = ended(second)
    assert code == 130, said
    assert f"Run {number} cancelled." in said


def interrupt(
    process: "subprocess.Popen[str]", number: str, terminal: Terminal, times: int
) -> None:
    """Press Ctrl+C so often; the run is cancelled in the end, on the server, too."""
    if times == 1:
        cancelled_by_one(process, number)
    else:
        left_by_two(process, number, terminal)
    newest = json.loads(terminal.run("runs", "--json"))["items"][0]
    assert (newest["run"], newest["status"]) == (int(number), "cancelled")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("stage", "command"), STAGES)
def test_interrupt_of_up_while_a_guest_is_at_work(
    terminal: Terminal, web: Web, stage: str, command: str, times: int
) -> None:
    web.hold(command)

    process = terminal.start("up")
    number = number_of(process)
    read_until(process, stage)
    wait_until(web.is_held)

    interrupt(process, number, terminal, times)
    assert not web.is_held()


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize(("stage", "command"), HOST_STAGES)
def test_interrupt_of_up_while_a_host_is_at_work(
    terminal: Terminal, product: Stack, stage: str, command: str, times: int
) -> None:
    hold(product, command)

    process = terminal.start("up")
    number = number_of(process)
    read_until(process, stage)

    interrupt(process, number, terminal, times)
    # Looks at the host wait there, too, and go on.
    machine = product.data / f"runtime/simulated/{HELD}.json"
    wait_until(
        lambda: (
            f".r{number}."
            not in json.dumps(json.loads(machine.read_text())["sleepers"])
        )
    )
