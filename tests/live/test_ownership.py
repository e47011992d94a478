"""Machines and networks with a testbed's names that are not its own outlive its runs.

Another user's guest of the same name, which two testbeds of an earlier version could
have, and a machine and a network that somebody made by hand.
"""

from collections.abc import Iterator

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import (
    Guest,
    holdings,
    key_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
YAML = """
machines:
  - name: {guest}
    interfaces: [{{bridge: br0}}]
    libvirt: {{cpus: 1, memory_mb: 128, libvirt_type: {{cloud_image: {{name: test_guest}}}}}}
network:
  bridges: [{{name: br0}}]
  external_bridge: br0
"""
OLD_NAME = "own-x-web"
MACHINE = (
    "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory>"
    "<os><type arch='x86_64'>hvm</type></os></domain>"
)
NETWORK = "<network><name>{name}</name><bridge name='handmade'/></network>"


@pytest.fixture(name="make")
def _make(stack: Stack, tmp_path):
    """Create a testbed with one guest, and generate its artefacts."""

    def make(client: Client, slug: str, guest: str, domain: str = "") -> None:
        folder = tmp_path / slug
        folder.mkdir()
        (folder / "kvm-compose.yaml").write_text(YAML.format(guest=guest))
        client.create_testbed(slug, folder)
        assert ran(client, slug, "generate-artefacts").status == "succeeded"
        if domain:
            state = project(stack, slug).read_state()
            (found,) = state.guests
            named = found.model_copy(update={"domain": domain})
            project(stack, slug).write_state(
                state.model_copy(update={"guests": (named,)})
            )

    return make


@pytest.fixture(name="by_hand")
def _by_hand(stack: Stack) -> Iterator[object]:
    """Make things on main past the product, which are removed at the end."""
    made: list[tuple[str, str]] = []

    def virsh(*words: str) -> str:
        return stack.main.run("virsh", *words)

    def make(xml: str, name: str, kind: str = "") -> None:
        text = xml.format(name=name)
        define = f"virsh {kind}define /dev/stdin <<'EOF'\n{text}\nEOF"
        stack.main.run("sh", "-c", define)
        virsh(f"{kind}start", name)
        made.append((kind, name))

    yield make
    for kind, name in made:
        virsh(f"{kind}destroy", name)
        virsh(f"{kind}undefine", name)


def active(stack: Stack, kind: str = "") -> list[str]:
    """Return the names of the running machines, or networks (`net-`), of main."""
    return stack.main.run("virsh", f"{kind}list", "--name").split()


def test_guest_of_another_testbed_with_the_same_name_runs_on(stack, owner, other, make):
    before = holdings(stack)
    make(other, "own-x", "web", OLD_NAME)
    make(owner, "own", "x-web", OLD_NAME)
    assert ran(other, "own-x", "up").status == "succeeded"
    victim = Guest(stack, "own-x", "web")
    boot = victim.boot

    up = ran(owner, "own", "up")
    down = ran(owner, "own", "down")

    assert up.status == "failed"
    key = key_of(stack, "own-x")
    words = f"The domain {OLD_NAME} on main belongs to guest web of testbed {key}"
    assert words in up.finished("x-web")["message"]
    assert down.status == "succeeded", down.words
    assert words in down.finished("x-web")["message"]
    assert victim.boot == boot
    wait_until_observed(stack, "own-x", web="running on main")
    assert ran(other, "own-x", "down").status == "succeeded"
    assert holdings(stack) == before


def test_machine_made_by_hand_runs_on(stack, owner, make, by_hand):
    make(owner, "own-machine", "web")
    before = holdings(stack)
    name = project(stack, "own-machine").read_state().guest("web").domain
    by_hand(MACHINE, name)

    up = ran(owner, "own-machine", "up")

    words = f"The domain {name} on main was not made by a testbed; it is left alone."
    assert up.status == "failed"
    assert up.finished("web")["message"] == words
    wait_until(
        lambda: f"a machine named {name} that is not this testbed" in page(owner),
        "the page does not name it",
    )
    down = ran(owner, "own-machine", "down")
    assert down.status == "succeeded", down.words
    assert down.finished("web")["message"] == words
    assert name in active(stack)
    left = {host: holdings(stack)[host] - before[host] for host in before}
    assert {thing for thing in left["main"] if not thing.startswith("process")} == {
        f"domain {name}"
    }


def page(client: Client) -> str:
    return client.pages.read("/testbeds/own-machine/")


def test_network_made_by_hand_stays(stack, owner, make, by_hand):
    make(owner, "own-network", "web")
    name = project(stack, "own-network").read_state().network.nat.network
    by_hand(NETWORK, name, "net-")

    up, down = (ran(owner, "own-network", command) for command in ("up", "down"))

    words = f"The network {name} on main was not made by a testbed; it is left alone."
    assert up.status == "failed"
    assert words in up.words or words in str(up.frames)
    assert down.status == "succeeded", down.words
    assert words in str(down.frames)
    assert name in active(stack, "net-")
