"""A host's image store, filled over a real SSH server."""

import hashlib
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from orchestration.errors import (
    Cancelled,
    HostUnreachable,
    ImageFailed,
    NotEnoughSpace,
)
from orchestration.providers import layout, receiving, sending, store, trial
from orchestration.providers.contents import Content, own_content, stored_content
from orchestration.providers.stamps import Digest, write_stamp
from orchestration.providers.store import Pushed
from orchestration.transport.base import Scope
from tests.orchestration.transport.conftest import carriers, wait_until

MIB = 1024 * 1024
TOOLS = (
    *("sh", "mkdir", "stat", "cat", "rm", "truncate", "dd", "sync", "b2sum"),
    *("chmod", "touch", "date", "mv", "ln"),
)


class Push:
    """What the tests push, from main's folder to the host's, and what they saw."""

    def __init__(self, folder: Path, server) -> None:
        self.main = folder / "main"
        self.host = folder / "host" / "images"
        self.main.mkdir()
        self.host.mkdir(parents=True)
        self.transport = server.transport()
        self.server = server
        self.steps: list[tuple[int, int]] = []
        self.log: list[str] = []
        self.at = lambda done, total: None

    def image(self, data: bytes, name: str = "disk.img") -> Path:
        path = self.main / name
        path.write_bytes(data)
        return path

    def own(self, path: Path, *, scope) -> Content:
        return own_content(
            path,
            self.main,
            scope=scope,
            on_progress=lambda done, total: None,
            log=self.log.append,
        )

    def __call__(
        self,
        path: Path,
        name: str = "name.img",
        *,
        scope,
        content_of=stored_content,
        **changes,
    ):
        def on_progress(done: int, total: int) -> None:
            self.steps.append((done, total))
            self.at(done, total)

        settings = {
            "transport": self.transport,
            "name": str(self.host / name),
            "locks": self.main,
            "scope": scope,
            "on_progress": on_progress,
            "log": self.log.append,
        }
        content = content_of(path, scope=scope)
        return store.push(content, **(settings | changes))

    @property
    def stored(self) -> list[str]:
        folder = self.host / ".store"
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def push(tmp_path, server) -> Push:
    return Push(tmp_path, server)


@pytest.fixture
def scope(request):
    """A scope whose tag nobody carries afterwards."""
    scope = Scope(f"t{os.getpid()}.{abs(hash(request.node.nodeid))}")
    yield scope
    wait_until(lambda: not carriers(scope.tag))


@pytest.fixture
def full(tmp_path):
    """A file system of 2 MiB; mounted before servers start, so that they see it."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder]
    if subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def quick(monkeypatch):
    """Short pauses and small pieces, so that little data makes a long story."""
    monkeypatch.setattr(sending, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(layout, "SEGMENT_BYTES", MIB)


def blob_of(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def test_content_goes_once_and_is_a_link_for_each_name(push, scope):
    data = os.urandom(3 * MIB + 5)
    source = push.image(data)

    results = [push(source, name, scope=scope) for name in ("a.img", "a.img", "b.img")]

    assert [r.pushed for r in results] == [Pushed.SENT, Pushed.NOTHING, Pushed.LINKED]
    blob = push.host / ".store" / blob_of(data)
    assert push.stored == [blob.name]
    assert blob.read_bytes() == data
    assert blob.stat().st_mode & 0o7777 == 0o444
    assert blob.stat().st_nlink == 3
    assert (push.host / "a.img").samefile(push.host / "b.img")
    assert push.steps[-1] == (len(data), len(data))


def test_holes_stay_holes_and_are_not_sent(push, scope):
    source = push.main / "sparse.img"
    with source.open("wb") as file:
        for position in (0, 30 * MIB + 4096, 100 * MIB):
            file.seek(position)
            file.write(os.urandom(MIB))
        file.truncate(200 * MIB + 13)

    sent = push(source, scope=scope).sent

    there = push.host / "name.img"
    digest = stored_content(source, scope=scope).digest
    assert stored_content(there, scope=scope).digest == digest
    assert there.stat().st_blocks * 512 <= 4 * MIB
    assert sent.size == 200 * MIB + 13
    assert sent.wire_bytes <= 4 * MIB


def test_rest_is_compressed_when_the_link_is_slow(push, scope, monkeypatch):
    judged = iter([False, True])
    monkeypatch.setattr(trial.Trial, "pays", lambda self: next(judged))
    data = b"the same words again and again\n" * 200_000

    sent = push(push.image(data), scope=scope).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.stored == [blob_of(data)]
    assert sent.data_bytes == len(data)
    assert 2 * MIB < sent.wire_bytes < 2 * MIB + len(data) / 10
    assert push.log == ["the rest is compressed on its way to host-a"]
    assert push.steps == sorted(push.steps)
    assert push.steps[-1] == (len(data), len(data))


def test_compressed_rest_goes_on_compressed_where_the_link_broke(
    push, scope, quick, monkeypatch
):
    monkeypatch.setattr(trial.Trial, "pays", lambda self: True)
    data = b"the same words again and again\n" * 600_000
    push.at = break_once(push, after=8 * MIB)

    sent = push(push.image(data), scope=scope).sent

    assert (push.host / "name.img").read_bytes() == data
    assert MIB < sent.wire_bytes < MIB + len(data) / 10


def test_host_without_zstd_gets_it_plain_and_the_log_says_so(
    tmp_path, make_server, scope
):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    push = Push(tmp_path, make_server("plain", f"SetEnv PATH={tools}"))
    data = bytes(range(256)) * 20_000

    sent = push(push.image(data), scope=scope).sent

    assert (push.host / "name.img").read_bytes() == data
    assert sent.wire_bytes == len(data)
    assert any("no zstd" in line and "Install" in line for line in push.log)


def test_broken_link_is_taken_up_where_it_broke(push, scope, quick):
    data = os.urandom(24 * MIB)
    push.at = break_once(push, after=16 * MIB)

    sent = push(push.image(data), scope=scope).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.stored == [blob_of(data)]
    # Under way were a channel's window, a piece and what zstd holds; not 16 MiB.
    assert len(data) < sent.wire_bytes + MIB < 32 * MIB
    (resumed,) = [line for line in push.log if line.startswith("resumed at")]
    broken = next(i for i, (step, _) in enumerate(push.steps) if step >= 16 * MIB)
    assert push.steps[broken + 1][0] > 8 * MIB
    assert f"{push.steps[broken + 1][0] / MIB:.1f} of 24.0 MiB" in resumed


def test_next_push_goes_on_where_one_was_given_up(push, scope, quick):
    data = os.urandom(24 * MIB)
    source = push.image(data)
    push.at = break_once(push, after=16 * MIB, start=False)

    with pytest.raises(HostUnreachable, match="given up") as failed:
        push(source, scope=scope)
    assert "goes on where it stopped" in failed.value.hint
    assert push.stored == [f"{blob_of(data)}.part", f"{blob_of(data)}.part.at"]
    assert not (push.host / "name.img").exists()
    push.server.start()
    push.steps.clear()
    sent = push(source, scope=Scope(f"{scope.tag}.2")).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.steps[0][0] > 8 * MIB
    assert sent.wire_bytes < 17 * MIB
    assert push.stored == [blob_of(data)]


def test_what_nobody_knew_after_a_broken_link_is_proven_when_it_is_back(
    push, scope, quick
):
    push.at = break_once(push, after=2 * MIB)

    push(push.image(os.urandom(8 * MIB)), scope=scope)

    assert [proof.survivors for proof in scope.ended] == [()]


class Unheard:
    """A host whose answer to a finished copy is lost, once."""

    def __init__(self, transport) -> None:
        self._transport = transport
        self.lost = False

    def __getattr__(self, name):
        return getattr(self._transport, name)

    def run(self, cmd, **options):
        completed = self._transport.run(cmd, **options)
        if receiving.FINISH in cmd.argv and not self.lost:
            self.lost = True
            raise HostUnreachable("The answer was lost.")
        return completed


def test_copy_whose_answer_was_lost_is_not_made_again(push, scope, quick):
    source = push.image(os.urandom(3 * MIB))
    host = Unheard(push.transport)

    sent = push(source, transport=host, scope=scope).sent

    assert host.lost
    assert sent.wire_bytes < 4 * MIB
    assert (push.host / "name.img").read_bytes() == source.read_bytes()


def test_cancel_leaves_nothing(push, scope):
    push.at = lambda done, total: done >= 2 * MIB and scope.cancel()

    with pytest.raises(Cancelled):
        push(push.image(os.urandom(20 * MIB)), scope=scope)

    assert push.stored == []
    assert sorted(p.name for p in push.host.iterdir()) == [".store"]
    assert push.steps[-1][0] < 20 * MIB


def test_damaged_arrival_is_discarded_and_gets_no_name(push, scope, monkeypatch):
    data = os.urandom(3 * MIB)
    source = push.image(data)
    # A disk that returns something else than what was written to it.
    reads = "while read -r place length; do"
    damages = f'{reads} printf x | dd of="$part" conv=notrunc status=none'
    damaged = receiving.RECEIVE.replace(reads, damages)

    with monkeypatch.context() as patched:
        patched.setattr(receiving, "RECEIVE", damaged)
        with pytest.raises(ImageFailed, match="damaged; it was discarded"):
            push(source, scope=scope)
    assert push.stored == []
    assert not (push.host / "name.img").exists()

    assert push(source, scope=scope).pushed is Pushed.SENT
    assert (push.host / "name.img").read_bytes() == data


def test_exchanged_disk_of_a_user_does_not_arrive_as_the_former_one(push, scope):
    source = push.image(os.urandom(3 * MIB))
    push.own(source, scope=scope)
    before, data = source.stat(), os.urandom(3 * MIB)
    source.write_bytes(data)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(ImageFailed, match="another one than when it was") as failed:
        push(source, scope=scope, content_of=push.own)

    assert "Start again" in failed.value.hint
    assert push.stored == []
    assert not (push.host / "name.img").exists()
    again = push(source, scope=scope, content_of=push.own)
    assert again.pushed is Pushed.SENT
    assert push.stored == [blob_of(data)]
    assert (push.host / "name.img").read_bytes() == data


def test_disk_of_a_user_is_hashed_on_the_host_when_it_was_not_read_just_now(
    push, scope
):
    source = push.image(os.urandom(MIB))

    verified = []
    for _ in range(2):
        push(source, scope=scope, content_of=push.own)
        verified.append(any("read and verified" in line for line in push.log))
        (push.host / ".store" / blob_of(source.read_bytes())).unlink()
        (push.host / "name.img").unlink()

    assert verified == [False, True]


def test_full_host_is_told_before_anything_is_sent(push, scope, monkeypatch):
    monkeypatch.setattr(sending, "SPARE_BYTES", 10**15)

    with pytest.raises(NotEnoughSpace, match=r"no room for .*name\.img on host-a"):
        push(push.image(b"data"), scope=scope)

    assert push.steps == []
    assert push.stored == []


def test_full_file_system_is_named_and_gets_its_space_back(
    full, push, scope, monkeypatch
):
    monkeypatch.setattr(sending, "SPARE_BYTES", -(10**9))

    with pytest.raises(NotEnoughSpace, match=r"file system of .*t.img on host-a"):
        push(push.image(os.urandom(8 * MIB)), name=str(full / "t.img"), scope=scope)

    assert [p.name for p in full.iterdir()] == [".store"]
    assert list((full / ".store").iterdir()) == []


def test_two_workers_push_the_same_content_once(push, scope):
    data = os.urandom(6 * MIB)
    paths = [push.image(data, "a.img"), push.image(data, "b.img")]
    results = []

    def work(path):
        results.append(push(path, path.name, scope=scope).pushed)

    threads = [threading.Thread(target=work, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == [Pushed.LINKED, Pushed.SENT]
    assert push.stored == [blob_of(data)]
    assert (push.host / "a.img").samefile(push.host / "b.img")


@pytest.mark.parametrize(
    ("content", "pushed"), [("right", Pushed.LINKED), ("wrong", Pushed.SENT)]
)
def test_file_of_an_earlier_version_is_verified_and_taken_in(
    push, scope, content, pushed
):
    data, there = os.urandom(MIB), push.host / "name.img"
    there.write_bytes(data)
    # Its stamp says nothing: it knows the time of change to the second only.
    write_stamp(there, Digest("sha256", hashlib.sha256(data).hexdigest()))
    if content == "wrong":
        there.write_bytes(b"?" * MIB)

    assert push(push.image(data), scope=scope).pushed is pushed
    assert there.read_bytes() == data
    assert there.samefile(push.host / ".store" / blob_of(data))
    assert there.stat().st_mode & 0o7777 == 0o444
    assert sorted(p.name for p in push.host.iterdir()) == [".store", "name.img"]
    assert push(push.image(data), scope=scope).pushed is Pushed.NOTHING


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_content_that_libvirt_gave_away_is_roots_again(push, scope):
    source = push.image(os.urandom(MIB))
    push(source, scope=scope)
    there = push.host / "name.img"
    os.chown(there, 12345, 12345)
    there.chmod(0o644)

    assert push(source, scope=scope).pushed is Pushed.NOTHING

    status = there.stat()
    assert (status.st_uid, status.st_gid) == (0, 0)
    assert status.st_mode & 0o7777 == 0o444


def test_content_that_somebody_wrote_to_is_replaced(push, scope):
    data = os.urandom(MIB)
    source = push.image(data)
    push(source, scope=scope)
    there = push.host / "name.img"
    with there.open("r+b") as file:
        file.write(b"damaged")

    result = push(source, scope=scope)

    assert result.pushed is Pushed.SENT
    assert there.read_bytes() == data
    assert any("damaged" in line for line in push.log)
    assert push.stored == [blob_of(data)]


def test_touched_content_is_verified_and_kept(push, scope):
    source = push.image(os.urandom(MIB))
    push(source, scope=scope)
    (push.host / "name.img").touch()

    assert push(source, scope=scope).pushed is Pushed.NOTHING
    assert any("verified" in line for line in push.log)
    push.log.clear()
    assert push(source, scope=scope).pushed is Pushed.NOTHING
    assert push.log == []


def test_another_content_takes_over_a_name(push, scope):
    first, second = os.urandom(MIB), os.urandom(MIB)
    push(push.image(first), scope=scope)

    result = push(push.image(second, "renewed.img"), scope=scope)

    assert result.pushed is Pushed.SENT
    there = push.host / "name.img"
    assert there.read_bytes() == second
    assert (push.host / ".store" / blob_of(first)).stat().st_nlink == 1
    assert sorted(p.name for p in push.host.iterdir()) == [".store", "name.img"]


def test_file_that_changes_while_it_is_copied_is_refused(push, scope):
    source = push.image(os.urandom(4 * MIB))
    push.at = lambda done, total: os.utime(source, (1, 1))

    with pytest.raises(ImageFailed, match="was changed while it was copied"):
        push(source, scope=scope)

    assert push.stored == []


def test_broken_note_begins_anew(push, scope):
    data = os.urandom(2 * MIB)
    (push.host / ".store").mkdir()
    part = push.host / ".store" / f"{blob_of(data)}.part"
    part.write_bytes(bytes(2 * MIB))
    for note in ("", "12\n\nx", "1048576 another-layout token"):
        part.with_name(f"{part.name}.at").write_text(note)

        assert push(push.image(data), f"{len(note)}", scope=scope).sent is not None
        (push.host / ".store" / blob_of(data)).unlink()
        part.write_bytes(bytes(2 * MIB))


def break_once(push: Push, *, after: int, start: bool = True):
    """Kill the host's SSH server when so much was sent, once, and start it again."""
    broken = []

    def at(done: int, total: int) -> None:
        if done >= after and not broken:
            broken.append(done)
            push.server.kill()
            if start:
                push.server.start()

    return at
