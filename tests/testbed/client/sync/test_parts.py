"""Large files arrive in parts, whole or not at all, however often something breaks."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from time import sleep

import httpx
import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer

from orchestration.errors import TestbedError
from testbed.access.tokens import make_token
from testbed.client.rest.problems import ServerUnreachable, StaleCopy
from testbed.client.rest.server import Server
from testbed.client.sync import parts
from testbed.client.sync.decide import Sending
from testbed.client.sync.parts import LargeFile
from testbed.models import Testbed, Upload
from testbed.testbeds.files import create_testbed
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.django_db(transaction=True)
DISK = bytes(range(256)) * 100
DIGEST = sha256(DISK).hexdigest()
Break = Callable[[httpx.Request], None]


class Wire(httpx.HTTPTransport):
    """A way to a real server that breaks before or after a request was answered."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[httpx.Request] = []
        self.before: Break = lambda request: None
        self.after: Break = lambda request: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.before(request)
        answer = super().handle_request(request)
        answer.read()
        self.requests.append(request)
        self.after(request)
        return answer

    @property
    def sent(self) -> list[int]:
        """The sizes of the parts."""
        return [
            int(one.headers["Content-Length"])
            for one in self.requests
            if one.method == "PATCH"
        ]


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def lab(owner: User, settings, tmp_path: Path) -> Testbed:
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    return create_testbed(owner, "lab", {"kvm-compose.yaml": YAML.encode()})


@pytest.fixture
def large(
    live_server: LiveServer,
    owner: User,
    lab: Testbed,
    wire: Wire,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., LargeFile]]:
    """Return a file of three parts on its way to `lab`."""
    monkeypatch.setattr(parts, "PART_BYTES", 10_000)
    token = make_token(owner, "laptop", ("run", "edit", "manage"), 7)[1]
    file = tmp_path / "disk.img"
    file.write_bytes(DISK)

    servers: list[Server] = []

    def make(seen: str = "", digest: str = DIGEST) -> LargeFile:
        server = Server(live_server.url, token, transport=wire)
        servers.append(server)
        sending = Sending("disk.img", seen, digest)
        return LargeFile(
            server,
            "olive/lab",
            file,
            sending,
            lambda *about: None,
            lambda pause: sleep(0.05),
        )

    yield make
    for server in servers:
        server.close()


def once(what: str, error: Exception, *, at: int) -> Break:
    """Break the requests of a method the `at`th time alone."""
    left = [at]

    def check(request: httpx.Request) -> None:
        if request.method == what:
            left[0] -= 1
            if left[0] == 0:
                raise error

    return check


def test_file_arrives_in_parts(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire
) -> None:
    told = []
    one = large()
    one.on_part = lambda *about: told.append(about[1:])

    assert one.send() == DIGEST

    assert wire.sent == [10_000, 10_000, 5_600]
    assert lab.project.file("disk.img").read_bytes() == DISK
    size = len(DISK)
    assert told == [(at, size) for at in (0, 10_000, 20_000, size)]


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_broken_connection_is_made_again(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire, when: str, at: int
) -> None:
    setattr(wire, when, once("PATCH", httpx.ReadError("broken"), at=at))

    assert large().send() == DIGEST

    assert wire.sent == [10_000, 10_000, 5_600], "no part is sent twice"
    assert lab.project.file("disk.img").read_bytes() == DISK


@pytest.mark.parametrize("method", ["POST", "HEAD"])
def test_lost_answer_to_the_begin_is_no_second_upload(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire, method: str
) -> None:
    wire.after = once(method, httpx.ReadError("broken"), at=1)

    assert large().send() == DIGEST

    assert [one.method for one in wire.requests].count("POST") == 1
    assert not Upload.objects.exists()


def test_later_command_goes_on_where_one_ended(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire
) -> None:
    wire.before = once("PATCH", KeyboardInterrupt(), at=3)
    with pytest.raises(KeyboardInterrupt):
        large().send()
    wire.requests.clear()

    assert large().send() == DIGEST

    assert wire.sent == [5_600]


def test_open_upload_of_another_content_is_ended(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire
) -> None:
    wire.before = once("PATCH", KeyboardInterrupt(), at=2)
    with pytest.raises(KeyboardInterrupt):
        large(digest=sha256(b"other").hexdigest()).send()

    assert large().send() == DIGEST

    assert not Upload.objects.exists()
    assert lab.project.file("disk.img").read_bytes() == DISK


def test_server_that_stays_away_ends_it(
    large: Callable[..., LargeFile], wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(parts.time, "monotonic", lambda: now[0])
    one = large()
    one.sleep = lambda pause: now.__setitem__(0, now[0] + 50)

    def gone(request: httpx.Request) -> None:
        if request.method == "PATCH":
            raise httpx.ConnectError("refused")

    wire.before = gone

    with pytest.raises(ServerUnreachable):
        one.send()
    assert now[0] == 250.0
    assert Upload.objects.get().offset == 0


def test_file_that_was_edited_on_the_server_meanwhile_is_not_overwritten(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire
) -> None:
    def edit(request: httpx.Request) -> None:
        if request.method == "PATCH":
            lab.project.file("disk.img").write_bytes(b"theirs")

    wire.before = edit

    with pytest.raises(StaleCopy):
        large().send()

    assert lab.project.file("disk.img").read_bytes() == b"theirs"
    assert not Upload.objects.exists()


def test_stale_copy_is_told_before_anything_is_sent(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire
) -> None:
    lab.project.file("disk.img").write_bytes(b"theirs")

    with pytest.raises(StaleCopy):
        large(seen=sha256(b"before").hexdigest()).send()

    assert wire.sent == []


def test_file_that_is_cut_while_it_is_sent_is_named(
    large: Callable[..., LargeFile], lab: Testbed, wire: Wire, tmp_path: Path
) -> None:
    def cut(request: httpx.Request) -> None:
        if request.method == "PATCH":
            (tmp_path / "disk.img").write_bytes(b"short")

    wire.after = cut

    with pytest.raises(TestbedError, match=r"disk\.img was changed while it was sent"):
        large().send()

    assert not lab.project.file("disk.img").exists()
    assert not Upload.objects.exists()


def test_other_content_than_was_decided_about_is_not_put_in_its_place(
    large: Callable[..., LargeFile], lab: Testbed
) -> None:
    with pytest.raises(TestbedError, match="arrived with the SHA-256"):
        large(digest=sha256(b"other").hexdigest()).send()

    assert not lab.project.file("disk.img").exists()
    assert not Upload.objects.exists()


def test_upload_that_the_owner_ended_is_told(
    large: Callable[..., LargeFile], wire: Wire
) -> None:
    def end(request: httpx.Request) -> None:
        if request.method == "PATCH":
            Upload.objects.all().delete()

    wire.after = end

    with pytest.raises(TestbedError, match="was ended on the server"):
        large().send()
