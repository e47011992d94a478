"""Large bodies are refused before they are received, and Twisted parses none."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections
from django.test import Client
from twisted.internet.testing import StringTransport
from twisted.web import http

from testbed import bodies
from testbed.access.tokens import make_token
from testbed.bodies import BoundedRequest
from tests.live.stack import CHECKOUT, free_port

MIB = 1024 * 1024
DEADLINE_S = 60
FORM = "multipart/form-data; boundary=x"


class Kept(BoundedRequest):
    """Keeps what Daphne would give to the application."""

    def process(self):
        self.content.seek(0)
        self.channel.kept = (self.args, self.content.read())


class Channel(http.HTTPChannel):
    """A connection up to Daphne's request."""

    requestFactory = Kept  # noqa: N815 (Twisted's name)
    kept = None

    def __init__(self):
        super().__init__()
        ignore = SimpleNamespace(
            protocol_connected=lambda request: None,
            protocol_disconnected=lambda request: None,
        )
        self.factory = SimpleNamespace(server=ignore)
        self.makeConnection(StringTransport())

    def head(self, path, *headers):
        lines = (f"POST {path} HTTP/1.1", "Host: localhost", *headers, "", "")
        self.dataReceived("\r\n".join(lines).encode())

    @property
    def answer(self):
        return self.transport.value().decode()


def leave(channel):
    """Close a connection from the client's side."""
    channel.setTimeout(None)
    channel.connectionLost(None)


@pytest.fixture
def channel():
    channel = Channel()
    yield channel
    leave(channel)


@pytest.fixture
def no_connection_is_left():
    """Close what a thread of channels opened."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


def cookie_of(user):
    client = Client()
    client.force_login(user)
    return f"Cookie: sessionid={client.cookies['sessionid'].value}"


async def until(is_so):
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():
            await asyncio.sleep(0.01)


async def test_form_is_not_parsed_by_twisted(channel):
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'

    channel.head("/login/", f"Content-Type: {FORM}", f"Content-Length: {len(body)}")
    channel.dataReceived(body)

    assert channel.kept == ({}, body)


@pytest.mark.parametrize(
    "path",
    ["/login/", "/testbeds/new/", "/testbeds/olive/lab/files/?a", "/nothing/%ff"],
)
async def test_large_body_without_a_session_is_refused_by_its_headers(channel, path):
    channel.head(path, f"Content-Length: {MIB + 1}")

    assert channel.answer.startswith("HTTP/1.1 413 ")


async def test_client_that_asks_first_is_not_told_to_go_on(channel):
    channel.head("/login/", f"Content-Length: {2 * MIB}", "Expect: 100-continue")

    assert channel.answer.startswith("HTTP/1.1 413 ")
    assert "100 Continue" not in channel.answer


async def test_body_without_a_length_is_counted(channel):
    channel.head("/login/", "Transfer-Encoding: chunked")
    for _ in range(17):
        channel.dataReceived(b"10000\r\n" + bytes(65536) + b"\r\n")

    assert channel.answer.startswith("HTTP/1.1 413 ")
    assert channel.requests[0].content.tell() <= MIB


async def test_refused_body_is_dropped_and_its_end_ends_the_connection(channel):
    channel.head("/login/", f"Content-Length: {2 * MIB}")
    channel.dataReceived(bytes(2 * MIB))

    assert channel.transport.disconnecting
    assert channel.kept is None


async def test_slow_body_is_refused(channel, monkeypatch):
    monkeypatch.setattr(bodies, "GRACE_S", -1)

    channel.head("/login/", "Content-Length: 3")
    channel.dataReceived(b"a")

    assert channel.answer.startswith("HTTP/1.1 408 ")


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("no_connection_is_left")
class TestSession:
    """The bodies that a session allows."""

    @pytest.mark.parametrize("testbed", ["olive/lab", "lab"])
    async def test_upload_of_a_user_is_received(self, channel, owner, testbed):
        cookie = await sync_to_async(cookie_of)(owner)
        size = 3 * MIB

        channel.head(f"/testbeds/{testbed}/files/", cookie, f"Content-Length: {size}")
        paused = channel.transport.producerState
        await until(lambda: channel.transport.producerState == "producing")
        channel.dataReceived(bytes(size))

        assert paused == "paused"
        assert channel.kept == ({}, bytes(size))

    @pytest.mark.parametrize(
        ("path", "size"),
        [
            ("/testbeds/olive/lab/edit/", 2 * MIB + 1),
            ("/testbeds/lab/edit/", 2 * MIB + 1),
            ("/nothing/", MIB + 1),
            ("/testbeds/new/", 70 * MIB + 1),
        ],
    )
    async def test_address_bounds_the_size(self, channel, owner, path, size):
        cookie = await sync_to_async(cookie_of)(owner)

        channel.head(path, cookie, f"Content-Length: {size}")

        assert channel.answer.startswith("HTTP/1.1 413 ")

    async def test_cookie_without_a_session_is_refused(self, channel):
        cookie = "Cookie: sessionid=0123456789abcdef0123456789abcdef"

        channel.head("/testbeds/new/", cookie, f"Content-Length: {2 * MIB}")
        await until(lambda: channel.answer)

        assert channel.answer.startswith("HTTP/1.1 413 ")

    async def test_user_who_may_not_sign_in_any_more_is_refused(self, channel, owner):
        cookie = await sync_to_async(cookie_of)(owner)
        owner.is_active = False
        await owner.asave()

        channel.head("/testbeds/new/", cookie, f"Content-Length: {2 * MIB}")
        await until(lambda: channel.answer)

        assert channel.answer.startswith("HTTP/1.1 413 ")

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/testbeds/olive/lab/files/a/b.img",
            "/api/v1/testbeds/olive/lab/archive",
            "/api/v1/archives?name=ring",
            "/api/v1/uploads/0123abcd",
        ],
    )
    async def test_token_of_the_scope_sends_a_file_to_the_api(
        self, channel, owner, path
    ):
        _, token = await sync_to_async(make_token)(owner, "ci", ["edit"], 7)
        size = 3 * MIB

        header = f"Authorization: Bearer {token}"
        channel.head(path, header, f"Content-Length: {size}")
        await until(lambda: channel.transport.producerState == "producing")
        channel.dataReceived(bytes(size))

        assert channel.kept[1] == bytes(size)

    @pytest.mark.parametrize(
        ("path", "size", "is_known"),
        [
            ("/api/v1/testbeds", 100 * MIB, True),
            ("/api/v1/testbeds/olive/lab/files/a", 100 * MIB, True),
            ("/api/v1/testbeds/olive/lab/files/a", 2 * MIB, False),
            ("/api/v1/testbeds/olive/lab/files/a", 2 * MIB, None),
        ],
    )
    async def test_large_body_to_the_api_is_refused_with_a_problem(
        self, channel, owner, path, size, is_known
    ):
        _, token = await sync_to_async(make_token)(owner, "ci", ["edit"], 7)
        text = token if is_known else "tb_nothing"
        header = "Accept: */*" if is_known is None else f"Authorization: Bearer {text}"

        channel.head(path, header, f"Content-Length: {size}")
        await until(lambda: channel.answer)

        head, _, body = channel.answer.partition("\r\n\r\n")
        assert head.startswith("HTTP/1.1 413 ")
        assert "application/problem+json" in head
        assert json.loads(body)["hint"] == "Sign in, or send less."

    async def test_token_opens_no_page_for_a_large_body(self, channel, owner):
        _, token = await sync_to_async(make_token)(owner, "ci", ["edit"], 7)

        header = f"Authorization: Bearer {token}"
        channel.head("/testbeds/new/", header, f"Content-Length: {2 * MIB}")

        assert channel.answer.startswith("HTTP/1.1 413 ")

    async def test_user_sends_few_large_bodies_at_once(self, owner):
        cookie = await sync_to_async(cookie_of)(owner)
        channels = [Channel() for _ in range(bodies.LARGE_AT_ONCE)]
        for one in channels:
            await self.begin(one, cookie)
        refused, later = Channel(), Channel()

        await self.begin(refused, cookie)
        leave(channels.pop())
        await self.begin(later, cookie)

        assert refused.answer.startswith("HTTP/1.1 429 ")
        assert later.answer == ""
        for one in (*channels, refused, later):
            leave(one)
        assert +BoundedRequest._large == {}

    async def begin(self, channel, cookie):
        channel.head("/testbeds/new/", cookie, f"Content-Length: {2 * MIB}")
        await asyncio.wait_for(channel.requests[0]._admission, DEADLINE_S)

    async def test_client_that_left_during_the_check_is_forgotten(self, owner):
        channel = Channel()
        cookie = await sync_to_async(cookie_of)(owner)
        channel.head("/testbeds/new/", cookie, f"Content-Length: {2 * MIB}")
        admission = channel.requests[0]._admission

        leave(channel)
        await asyncio.wait_for(admission, DEADLINE_S)

        assert channel.answer == ""


@contextmanager
def daphne(folder: Path, port: int):
    """Run Daphne as docs/operations.md does, without a database."""
    words = [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port)]
    environment = os.environ | {
        "TESTBED_DATA_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "testbed.settings",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*words, "testbed.asgi:application"],
            cwd=CHECKOUT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(port, process)
        yield process
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def wait_for(port, process):
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)


def post(port, head, body):
    """Send a request like a client that reads only when all is sent."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as connection:
        connection.sendall(head.encode() + b"\r\n\r\n")
        for part in body:
            connection.sendall(part)
        return connection.makefile("rb").read().decode()


def peak_kib(process):
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def test_real_server_keeps_nothing_of_a_large_anonymous_form(tmp_path: Path):
    port, size = free_port(), 64 * MIB
    head = "POST /login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: {FORM}\r\n"
    line_feeds = b"\n" * MIB
    chunk = f"{MIB:x}\r\n".encode() + line_feeds + b"\r\n"
    large = {
        f"Content-Length: {size}": [line_feeds] * 64,
        "Transfer-Encoding: chunked": [*[chunk] * 64, b"0\r\n\r\n"],
    }

    with daphne(tmp_path, port) as process:
        small = post(port, f"{head}Content-Length: 1", [b"x"])
        before = peak_kib(process)
        answers = [post(port, head + length, body) for length, body in large.items()]
        growth = peak_kib(process) - before

    assert small.startswith("HTTP/1.1 4")
    assert [answer[:13] for answer in answers] == ["HTTP/1.1 413 "] * 2
    assert growth < 16 * 1024
