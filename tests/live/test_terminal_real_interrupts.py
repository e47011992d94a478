"""Ctrl+C of the real `testbed` on real hosts: while an image arrives, while a guest boots.

Once cancels on the server, twice leaves the run to a second process. The image comes
from a web server that stops after its first bytes; the guest runs a script that never
ends by itself.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.live.test_terminal import Terminal, number_of, read_until
from tests.live.test_terminal_interrupts import interrupt
from tests.live.watch import DATA, wait_until

pytestmark = [pytest.mark.live, pytest.mark.slow]
IMAGE = "trickling"
TRICKLE = """
import http.server, time
class Trickle(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(64 << 20))
        self.end_headers()
        self.wfile.write(bytes(1 << 20))
        time.sleep(600)
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trickle)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def terminal(
    stack: Stack, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Terminal]:
    """A terminal of the owner's in a folder with one guest on the second host."""
    folder = tmp_path / f"ctrl-c-{request.node.callspec.id}"
    shutil.copytree(DATA / "far", folder)
    terminal = Terminal(folder, tmp_path / "home")
    terminal.environment |= {
        "TESTBED_SERVER": stack.url,
        "TESTBED_TOKEN": stack.tokens["owner"],
    }
    yield terminal
    terminal.run("down")
    terminal.run("clear-artefacts", "--yes")
    terminal.run("testbeds", "destroy", f"owner/{folder.name}", "--yes")


@pytest.fixture
def image(stack: Stack) -> Iterator[str]:
    """An image that main begins to fetch, and never has."""
    words = stack.main.in_its_network(sys.executable, "-c", TRICKLE)
    entry = stack.catalogue / f"{IMAGE}.json"
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{server.stdout.readline().strip()}/{IMAGE}.raw"
            entry.write_text(json.dumps({"name": IMAGE, "url": url, "format": "raw"}))
            yield IMAGE
        finally:
            server.kill()
            entry.unlink(missing_ok=True)


@pytest.mark.parametrize("times", [1, 2], ids=["image-once", "image-twice"])
def test_interrupt_while_an_image_is_fetched(
    stack: Stack, terminal: Terminal, image: str, times: int
) -> None:
    yaml = terminal.folder / "kvm-compose.yaml"
    yaml.write_text(yaml.read_text().replace("test_guest", image))

    process = terminal.start("up")
    number = number_of(process)
    read_until(process, "Fetch 1 image")
    wait_until(lambda: list(stack.data.rglob(f"{image}*.part")))

    interrupt(process, number, terminal, times)


@pytest.mark.parametrize("times", [1, 2], ids=["guest-once", "guest-twice"])
def test_interrupt_while_a_guest_starts(terminal: Terminal, times: int) -> None:
    shutil.copytree(DATA / "stubborn", terminal.folder, dirs_exist_ok=True)

    process = terminal.start("up")
    number = number_of(process)
    read_until(process, "Set up 1 guest")

    interrupt(process, number, terminal, times)
