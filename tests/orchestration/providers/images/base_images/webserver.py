"""A web server of one image that can misbehave, and the image as the catalogue names it.

It cuts connections, stalls, refuses ranges and fails as often as it is told. Used by
the tests of the image store; the fixture `server` in conftest.py runs it.
"""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from orchestration.compose.catalogue import Image

DATA = b"".join(bytes([number % 251]) * 1021 for number in range(400))
SHA256 = hashlib.sha256(DATA).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serve DATA in the way that the test's server was told to."""

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range", "")
        server.asked.append((self.path, asked))
        if self.path == "/SUMS":
            return self.answer(200, server.sums.encode())
        if self.path != "/disk.qcow2":
            return self.answer(404, b"no")
        if server.failures:
            return self.answer(server.failures.pop(0), b"sorry")
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if start and server.ranges:
            if start >= len(DATA):
                total = {"Content-Range": f"bytes */{len(DATA)}"}
                return self.answer(416, b"", total)
            where = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
            return self.answer(206, server.data[start:], where)
        return self.answer(200, server.data)

    def answer(self, code, body, headers=()):
        self.send_response(code)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        limit = self.server.cut_after
        self.wfile.write(body[:limit])
        self.wfile.flush()
        if limit is not None and len(body) > limit:
            self.server.stalled.set()
            self.server.gave_up = not self.server.go_on.wait(120)
            self.server.cut_after = None if self.server.cut_once else limit
            self.close_connection = True

    def log_message(self, *args):
        """Say nothing."""


class Server(ThreadingHTTPServer):
    data = DATA
    ranges = True
    sums = ""
    cut_after = None
    cut_once = True
    gave_up = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.failures = []
        self.stalled = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


def image(server, **changes):
    values = {"name": "disk", "url": server.url("/disk.qcow2"), "sha256": SHA256}
    return Image(**(values | changes))


def part_of(target, data):
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.write_bytes(data)
    return part
