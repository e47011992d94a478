"""Large files of a folder on their way to a real server that goes and comes back.

The client has a piece of it in memory, whatever its size, and goes on where it was.
"""

import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.live.test_terminal import Terminal, ended, read_until
from tests.live.test_terminal import home as home
from tests.live.test_terminal import terminal as terminal

pytestmark = pytest.mark.live
MIB = 1024**2
SIZE_MIB = 320
# Python, httpx and rich have about 60.
MOST_MEMORY_MIB = 100
AND_ITS_MEMORY = """
import sys
from testbed.client.terminal.program import run
done = run(sys.argv[1:])
print(open("/proc/self/status").read())
sys.exit(done)
"""


def disk_in(terminal: Terminal) -> Path:
    """Make a file that no two blocks of are equal, so that a wrong order shows."""
    file = terminal.folder / "disk.img"
    with file.open("wb") as to:
        for _ in range(SIZE_MIB):
            to.write(secrets.token_bytes(MIB))
    return file


def arrived_mib(product: Stack) -> int:
    """Return how much of the open upload is on the server's disk."""
    text = product.shell(
        "from testbed.models import Upload\n"
        "row = Upload.objects.last()\n"
        "print('arrived', row.offset if row else 0)"
    )
    found = re.search(r"arrived (\d+)", text)
    assert found, text
    return int(found[1]) // MIB


def server_is_stopped_in_the_middle(product: Stack) -> int:
    """Wait until some parts have arrived, then end the web; return how much had."""
    deadline = time.monotonic() + 60
    while not (before := arrived_mib(product)):
        assert time.monotonic() < deadline
    product.stop("web", with_signal=signal.SIGKILL)
    return before


def test_server_that_is_restarted_gets_the_rest(
    terminal: Terminal, product: Stack
) -> None:
    file = disk_in(terminal)
    process = terminal.start("sync")

    before = server_is_stopped_in_the_middle(product)
    product.start_web()
    code, said = ended(process)

    assert code == 0, said
    assert 0 < before < SIZE_MIB
    assert "The folder and owner/" in said
    digest = subprocess.run(
        ["sha256sum", file], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert digest in terminal.run("sync", "--json")
    assert "disk.img" not in terminal.run("diff")


def test_interrupted_sync_goes_on_and_the_file_comes_back(
    terminal: Terminal, product: Stack
) -> None:
    file = disk_in(terminal)
    process = terminal.start("sync")
    read_until(process, "disk.img: 0 B of")
    while arrived_mib(product) < 48:
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, said = ended(process)

    assert code == 130, said
    kept = re.search(r"disk\.img: (\S+) MiB of .* are kept for a day", said)
    assert kept, said
    again = terminal.run("sync")
    begun = re.search(r"disk\.img: (\S+) MiB of", again)
    assert begun, again
    assert float(begun[1]) >= float(kept[1]) > 0

    file.rename(file.with_name("mine"))
    (terminal.folder / ".testbedignore").write_text("mine\n")
    file.write_bytes(b"lost")
    assert "disk.img is the server's now." in terminal.run("sync", "--take", "disk.img")
    assert subprocess.run(["cmp", file, file.with_name("mine")]).returncode == 0


def test_memory_of_the_client_is_that_of_a_part(terminal: Terminal) -> None:
    disk_in(terminal)
    done = subprocess.run(
        [sys.executable, "-c", AND_ITS_MEMORY, "sync"],
        cwd=terminal.folder,
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    found = re.search(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert found, done.stdout
    memory_mib = int(found[1]) // 1024
    assert memory_mib < MOST_MEMORY_MIB
