"""Bad inputs: each ends in a clear message, a truthful condition, nothing lost.

What the YAML shows is refused before anything runs; what only the machines show ends
the run, which `up` or `down` goes on from.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from testbed.client.rest.problems import ServerProblem
from tests.live.client import Client
from tests.live.stack import NamespaceHost, Stack
from tests.live.watch import (
    DATA,
    cancel,
    condition,
    followed,
    holdings,
    key_of,
    project,
    ran,
    wait_until_observed,
)

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", name="faulty")
def _faulty(owner: Client) -> str:
    owner.create_testbed("faulty", DATA / "small")
    return "faulty"


@pytest.mark.parametrize(
    ("what", "line", "message", "hint"),
    [
        ("broken-yaml", 7, "Not valid YAML", "A `[` or `{` is not closed."),
        ("unknown-bridge", 4, "Unknown bridge `br7`.", "Bridges: br0."),
        (
            "missing-script",
            11,
            "`scripts/absent.sh` does not exist in the testbed's folder.",
            "Upload it, or correct the path.",
        ),
        (
            "script-outside",
            11,
            "`../../outside.sh` leaves the testbed's folder.",
            "Put the file beside kvm-compose.yaml or in a folder there.",
        ),
    ],
)
def test_wrong_yaml_is_refused_with_its_line(
    stack, owner, faulty, what, line, message, hint
):
    owner.update_files(faulty, DATA / "broken" / what)

    with pytest.raises(ServerProblem) as caught:
        owner.start(faulty, "up")

    [finding] = caught.value.body["findings"]
    assert finding["line"] == line
    assert finding["message"].startswith(message)
    assert finding["hint"] == hint
    assert f">line {line}<" in owner.pages.read(f"/testbeds/{faulty}/")
    assert condition(stack, faulty) == "draft"


def test_second_run_is_refused_with_who_and_since_when(stack, owner, faulty):
    owner.update_files(faulty, DATA / "small")
    first = owner.start(faulty, "up")

    with pytest.raises(ServerProblem) as caught:
        owner.start(faulty, "down")

    words = caught.value.body
    assert re.fullmatch(
        r"owner has been running up on testbed faulty since \d\d:\d\d:\d\d as run \d+\.",
        words["detail"],
    )
    assert words["hint"] == "Wait until it is over, or cancel it."
    cancel(owner, first.number)
    assert followed(owner, first).status == "cancelled"


def test_image_with_a_wrong_checksum_is_discarded(stack, owner):
    image = stack.folder / "tampered.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "8M"], check=True)
    stack.add_image("tampered", image, sha256="0" * 64, format="qcow2")
    owner.create_testbed("badsum", DATA / "badsum")
    before = holdings(stack)

    up = ran(owner, "badsum", "up")

    assert up.status == "failed"
    assert "The image tampered is not the expected file; it was discarded." in up.words
    assert f"expected sha256 {'0' * 64}" in up.finished("tampered")["detail"]
    assert condition(stack, "badsum") == "partial"
    assert not list((stack.data / "images").glob("tampered*"))
    assert image.exists()
    assert ran(owner, "badsum", "down").status == "succeeded"
    assert holdings(stack) == before


@contextmanager
def full_disk(host: NamespaceHost, folder: str) -> Iterator[None]:
    """Put a file system of 8 MiB over a host's folder."""
    host.run("mkdir", "-p", folder)
    host.run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder)
    try:
        yield
    finally:
        host.run("umount", "-l", folder)  # whoever looks through it may do so yet


def test_full_disk_is_named_and_up_goes_on_when_there_is_room(stack, owner):
    owner.create_testbed("crowded", DATA / "far")
    folder = str(stack.data / "images")

    with full_disk(stack.main, folder):
        up = ran(owner, "crowded", "up")

        assert stack.main.run("ls", folder) == ""
    assert up.status == "failed"
    assert f"There is no room for {_image(stack, 'crowded')} in {folder}" in up.words
    assert condition(stack, "crowded") == "partial"

    folder = "/var/lib/testbed/images"
    with full_disk(stack.other, folder):
        up = ran(owner, "crowded", "up")

        assert stack.other.run("ls", "-A", folder) == ""
    assert up.status == "failed"
    assert re.search(r"no room for \S+ on host-b: .* Make room there", up.words)
    assert up.statuses()["push-images"] == {"failed"}
    assert condition(stack, "crowded") == "partial"

    up = ran(owner, "crowded", "up")

    assert up.status == "succeeded", up.words
    assert ran(owner, "crowded", "down").status == "succeeded"


def test_script_that_fails_runs_again_at_the_next_up(stack, owner):
    owner.create_testbed("failing", DATA / "failing")

    up = ran(owner, "failing", "up")

    assert up.status == "failed"
    words = "scripts/setup.sh in guest solo on main ended with exit code 3."
    assert words in up.words
    assert "start up again" in up.words
    assert "solo: one disk is missing" in up.log
    assert _exit_code(stack) == 3
    assert condition(stack, "failing") == "partial"
    wait_until_observed(stack, "failing", solo="running on main")

    again = ran(owner, "failing", "up")

    assert again.status == "failed"
    assert "solo: one disk is missing" in again.log
    assert again.statuses()["start-guests"] == {"unchanged"}

    owner.update_files("failing", DATA / "mended")

    mended = ran(owner, "failing", "up")

    assert mended.status == "succeeded", mended.words
    assert f"solo: set up on {key_of(stack, 'failing')}-solo" in mended.log
    assert _exit_code(stack) == 0

    again = ran(owner, "failing", "up")

    assert again.of("set-up-guests")["solo"]["status"] == "unchanged"
    assert ran(owner, "failing", "down").status == "succeeded"


def _image(stack: Stack, slug: str) -> str:
    path = project(stack, slug).read_state().guests[0].image.main_path
    return path.rsplit("/", 1)[-1]


def _exit_code(stack: Stack) -> int | None:
    return project(stack, "failing").read_state().guest("solo").markers.script_exit_code
