"""`script/demo` where no guest can run, and where the test guest was never built."""

import os
import platform
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.live.stack import CHECKOUT, free_port

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(500)]
TOOLS = ("setarch", "redis-server", "curl")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, since Redis' socket is in it; its Redis is ended afterwards."""
    made = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="testbed-demo-"))
    yield made
    for note in made.glob("data/daemons/*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(note.read_text().split()[0]), signal.SIGKILL)
    shutil.rmtree(made)


def test_demo_rehearses_the_same_plan_on_simulated_hosts(folder: Path) -> None:
    if platform.machine() != "x86_64" or not all(map(shutil.which, TOOLS)):
        pytest.skip("needs x86-64 and: " + ", ".join(TOOLS))
    environment = os.environ | {
        "TESTBED_DATA_DIR": str(folder / "data"),
        "TESTBED_IMAGE_CACHE": str(folder / "no images"),
        "DJANGO_SETTINGS_MODULE": "testbed.settings",
        "TESTBED_DEMO_PORT": str(free_port()),
    }
    # A machine that calls itself 32 bits wide cannot run the test guest.
    demo = [
        "timeout",
        "400",
        "setarch",
        "i686",
        "bash",
        str(CHECKOUT / "script/demo"),
        "--once",
    ]

    done = subprocess.run(
        demo, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "This machine cannot run real guests:" in done.stdout
    assert "x86-64: the test guest image is for this processor only" in done.stdout
    assert "sensor           running    on host-b" in done.stdout
    assert "a lab came up on two simulated hosts, and was stopped" in done.stdout
