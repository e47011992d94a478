"""The image store, against a local HTTP server that can misbehave."""

import hashlib
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchestration.errors import Cancelled, ImageFailed, NotEnoughSpace
from orchestration.providers import download, images
from orchestration.providers.locks import locked
from orchestration.spec.catalogue import Image
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated import SimulatedTransport

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


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.go_on.set()
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "store" / "disk.qcow2"


@pytest.fixture
def scope():
    return Scope("demo.1")


def image(server, **changes):
    values = {"name": "disk", "url": server.url("/disk.qcow2"), "sha256": SHA256}
    return Image(**(values | changes))


def part_of(target, data):
    target.parent.mkdir(exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.write_bytes(data)
    return part


def test_image_is_fetched_once_and_not_even_read_again(server, target, scope):
    seen, wanted = [], image(server)

    first = images.ensure_image(
        wanted, target, scope=scope, on_progress=lambda *step: seen.append(step)
    )
    status = target.stat()
    target.write_bytes(b"?" * len(DATA))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = images.ensure_image(wanted, target, scope=scope)

    assert (first, second) == (True, False)
    assert seen[-1] == (len(DATA), len(DATA))
    assert len(server.asked) == 1
    assert not target.with_name("disk.qcow2.part").exists()


def test_known_file_without_stamp_is_adopted(server, target, scope):
    target.parent.mkdir()
    target.write_bytes(DATA)

    assert not images.ensure_image(image(server), target, scope=scope)
    assert server.asked == []


def test_damaged_file_is_replaced(server, target, scope):
    target.parent.mkdir()
    target.write_bytes(b"damaged")

    assert images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_fetch_goes_on_where_the_last_one_stopped(server, target, scope):
    part_of(target, DATA[:1000])

    assert images.ensure_image(image(server), target, scope=scope)

    assert target.read_bytes() == DATA
    assert server.asked == [("/disk.qcow2", "bytes=1000-")]


def test_complete_part_needs_no_more_bytes(server, target, scope):
    part_of(target, DATA)

    assert images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_server_without_ranges_starts_again(server, target, scope):
    server.ranges = False
    part_of(target, DATA[:1000])

    assert images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("left_over", [b"other bytes", b"x" * (len(DATA) + 5)])
def test_part_of_another_file_is_fetched_anew(server, target, scope, left_over):
    part_of(target, left_over)

    assert images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_cut_connection_is_taken_up_again(server, target, scope):
    server.cut_after = 5000
    said = []

    assert images.ensure_image(image(server), target, scope=scope, log=said.append)

    assert target.read_bytes() == DATA
    assert server.asked[1][1] != ""
    assert any("trying again" in line for line in said)


def test_truncated_for_good_is_an_error_that_keeps_the_part(server, target, scope):
    server.cut_after, server.cut_once, server.ranges = 5000, False, False

    with pytest.raises(ImageFailed, match="could not be fetched") as failed:
        images.ensure_image(image(server), target, scope=scope)
    assert failed.value.retryable
    assert not target.exists()
    assert target.with_name("disk.qcow2.part").read_bytes() == DATA[:5000]
    assert len(server.asked) == download.ATTEMPTS


def test_wrong_checksum_is_discarded_and_both_sums_are_named(server, target, scope):
    server.data = b"!" + DATA[1:]
    got = hashlib.sha256(server.data).hexdigest()

    with pytest.raises(ImageFailed, match="not the expected file") as failed:
        images.ensure_image(image(server), target, scope=scope)
    assert SHA256 in failed.value.detail
    assert got in failed.value.detail
    assert not target.exists()
    assert not target.with_name("disk.qcow2.part").exists()


def test_missing_image_is_told_at_once(server, target, scope):
    wanted = image(server, url=server.url("/none.qcow2"))

    with pytest.raises(ImageFailed, match="404"):
        images.ensure_image(wanted, target, scope=scope)
    assert len(server.asked) == 1


def test_busy_server_is_asked_again(server, target, scope):
    server.failures = [503, 503]

    assert images.ensure_image(image(server), target, scope=scope)
    assert len(server.asked) == 3


def test_nobody_there_is_an_image_error(target, scope):
    wanted = Image(name="disk", url="http://127.0.0.1:9/disk.qcow2", sha256=SHA256)

    with pytest.raises(ImageFailed, match=r"127\.0\.0\.1:9"):
        images.ensure_image(wanted, target, scope=scope)


@pytest.mark.parametrize(
    "line",
    [
        f"{SHA256}  disk.qcow2",
        f"{SHA256.upper()} *disk.qcow2",
        f"SHA256 (disk.qcow2) = {SHA256}",
        f"{hashlib.sha512(DATA).hexdigest()}  ./disk.qcow2",
    ],
    ids=["coreutils", "binary", "bsd", "sha512"],
)
def test_checksum_comes_from_the_publishers_list(server, target, scope, line):
    server.sums = f"{'0' * 64}  other.qcow2\n{line}\n"
    wanted = image(server, sha256="", sums_url=server.url("/SUMS"))

    assert images.ensure_image(wanted, target, scope=scope)
    assert not images.ensure_image(wanted, target, scope=scope)
    assert [path for path, _ in server.asked] == ["/SUMS", "/disk.qcow2"]


def test_list_with_another_sum_or_without_the_file_is_refused(server, target, scope):
    wanted = image(server, sha256="", sums_url=server.url("/SUMS"))
    server.sums = f"{'0' * 64}  disk.qcow2\n"
    with pytest.raises(ImageFailed, match="not the expected file"):
        images.ensure_image(wanted, target, scope=scope)

    server.sums = f"{SHA256}  disk.qcow2.sig\n"
    with pytest.raises(ImageFailed, match=r"does not name disk\.qcow2"):
        images.ensure_image(wanted, target, scope=scope)


def test_image_without_any_checksum_is_used_and_said_so(server, target, scope):
    said = []

    assert images.ensure_image(
        image(server, sha256=""), target, scope=scope, log=said.append
    )
    assert "unverified" in said[0]


def test_cancel_ends_a_fetch_that_waits_for_a_silent_server(server, target, scope):
    server.cut_after = 5000
    server.go_on.clear()
    all_read = threading.Event()

    def note(done, total):
        if done == server.cut_after:
            all_read.set()

    canceller = threading.Thread(target=lambda: (all_read.wait(120), scope.cancel()))
    canceller.start()

    with pytest.raises(Cancelled):
        images.ensure_image(image(server), target, scope=scope, on_progress=note)

    canceller.join()
    assert not server.gave_up
    assert not target.exists()


def test_same_image_wanted_twice_at_once_is_fetched_once(server, target):
    server.cut_after = 5000
    server.go_on.clear()
    results, said = [], []
    waiting = threading.Event()

    def want(log):
        wanted = image(server)
        results.append(images.ensure_image(wanted, target, scope=Scope(), log=log))

    def note(text):
        said.append(text)
        waiting.set()

    first = threading.Thread(target=want, args=(None,))
    first.start()
    assert server.stalled.wait(120)
    second = threading.Thread(target=want, args=(note,))
    second.start()
    assert waiting.wait(120)
    server.go_on.set()
    for thread in (first, second):
        thread.join()

    assert sorted(results) == [False, True]
    assert "waiting" in said[0]
    assert target.read_bytes() == DATA


def test_waiting_for_another_fetch_can_be_cancelled(server, target, scope):
    target.parent.mkdir()
    held = threading.Event()
    over = threading.Event()

    def hold():
        with locked(target, Scope(), lambda text: None):
            held.set()
            over.wait(120)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(120)

    with pytest.raises(Cancelled):
        images.ensure_image(
            image(server), target, scope=scope, log=lambda text: scope.cancel()
        )
    over.set()
    holder.join()


def test_full_disk_is_told_before_anything_is_written(
    server, target, scope, monkeypatch
):
    monkeypatch.setattr(images, "SPARE_BYTES", 2**62)

    with pytest.raises(NotEnoughSpace, match=r"no room for disk\.qcow2"):
        images.ensure_image(image(server), target, scope=scope)
    assert not target.with_name("disk.qcow2.part").exists()


def test_disk_that_becomes_full_is_told_too(target):
    full = OSError(28, "No space left on device")

    error = download.not_stored(target, full)

    assert isinstance(error, NotEnoughSpace)
    assert isinstance(download.not_stored(target, OSError(13, "no")), ImageFailed)


def test_local_image_is_copied_and_verified(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    assert images.ensure_image(wanted, target, scope=scope)
    assert not images.ensure_image(wanted, target, scope=scope)
    assert target.read_bytes() == DATA
    source.write_bytes(b"changed in place")
    assert target.read_bytes() == DATA


def test_progress_begins_where_the_last_fetch_stopped_and_digesting_has_its_own(
    server, target, scope
):
    part_of(target, DATA[:5000])
    brought, verified = [], []

    images.ensure_image(
        image(server),
        target,
        scope=scope,
        on_progress=lambda *at: brought.append(at),
        on_verify=lambda *at: verified.append(at),
    )

    assert brought[0] == (5000, len(DATA))
    assert brought[-1] == verified[-1] == (len(DATA), len(DATA))


def cancelling(scope):
    """What cancels from another thread as soon as there is progress."""

    def on_progress(done, total):
        canceller = threading.Thread(target=scope.cancel)
        canceller.start()
        canceller.join()

    return on_progress


@pytest.mark.parametrize("at", ["on_progress", "on_verify"])
def test_cancelled_copy_into_the_store_leaves_no_part(tmp_path, target, scope, at):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    with pytest.raises(Cancelled):
        images.ensure_image(wanted, target, scope=scope, **{at: cancelling(scope)})

    assert [path.suffix for path in target.parent.iterdir()] == [".lock"]


@pytest.mark.parametrize("at", ["on_progress", "on_verify"])
def test_cancelled_fetch_leaves_a_part_that_the_next_one_goes_on_with(
    server, target, scope, at
):
    with pytest.raises(Cancelled):
        images.ensure_image(
            image(server), target, scope=scope, **{at: cancelling(scope)}
        )
    assert not target.exists()

    images.ensure_image(image(server), target, scope=Scope("demo.2"))

    assert target.read_bytes() == DATA
    assert not target.with_name(f"{target.name}.part").exists()


def test_half_copy_of_a_killed_worker_is_made_anew(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    part_of(target, b"half of something else")

    images.ensure_image(
        Image(name="disk", path=str(source), sha256=SHA256), target, scope=scope
    )

    assert target.read_bytes() == DATA
    assert not target.with_name(f"{target.name}.part").exists()


def test_local_image_that_is_wrong_or_missing_is_refused(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    with pytest.raises(ImageFailed, match="is not at"):
        images.ensure_image(wanted, target, scope=scope)
    source.write_bytes(b"else")
    with pytest.raises(ImageFailed, match="not the expected file"):
        images.ensure_image(wanted, target, scope=scope)
    assert source.read_bytes() == b"else"


def test_same_file_is_recognised_by_content(tmp_path, scope):
    host = SimulatedTransport("host-b", tmp_path / "sim")
    seed = tmp_path / "seed"
    seed.write_bytes(b"1")

    before = images.has_same_file(host, seed, "/a/seed", scope=scope)
    host.put(seed, "/a/seed", scope=scope)
    same = images.has_same_file(host, seed, "/a/seed", scope=scope)
    seed.write_bytes(b"2")

    assert (before, same) == (False, True)
    assert not images.has_same_file(host, seed, "/a/seed", scope=scope)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_image_that_libvirt_gave_away_is_roots_again(tmp_path, scope):
    path = tmp_path / "image.qcow2"
    path.write_bytes(DATA)
    os.chown(path, 12345, 12345)

    images.ensure_guarded(LocalTransport(), path, scope=scope)

    status = path.stat()
    assert (status.st_uid, status.st_gid) == (0, 0)
    assert status.st_mode & 0o7777 == 0o444
