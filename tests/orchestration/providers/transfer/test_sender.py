"""How contents go to a host: once, without holes, compressed, and whole or not at all.

Over a real SSH server. What a broken link does is in test_broken_links.py, which files
are trusted in test_trust.py.
"""

import os
import shutil
import threading

import pytest

from orchestration.errors import Cancelled, NotEnoughSpace
from orchestration.providers.images import space
from orchestration.providers.transfer.source import stored_content
from orchestration.providers.transfer.store import Pushed
from tests.orchestration.providers.transfer.pushing import MIB, Push, blob_of

TOOLS = (
    *("sh", "mkdir", "stat", "cat", "rm", "truncate", "dd", "sync", "b2sum"),
    *("chmod", "touch", "date", "mv", "ln"),
)


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


def test_copy_is_compressed_for_a_host_that_wants_it(push, scope):
    data = b"the same words again and again\n" * 200_000

    sent = push(push.image(data), scope=scope, compressed=True).sent

    assert (push.host / "name.img").read_bytes() == data
    assert push.stored == [blob_of(data)]
    assert sent.data_bytes == len(data)
    assert sent.wire_bytes < len(data) / 10
    assert push.steps[-1] == (len(data), len(data))


def test_host_without_zstd_gets_it_plain_and_the_log_says_so(
    tmp_path, make_server, scope
):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(str(shutil.which(tool)))
    push = Push(tmp_path, make_server("plain", f"SetEnv PATH={tools}"))
    data = bytes(range(256)) * 20_000

    sent = push(push.image(data), scope=scope, compressed=True).sent

    assert (push.host / "name.img").read_bytes() == data
    assert sent.wire_bytes == len(data)
    assert any("no zstd" in line and "Install" in line for line in push.log)


def test_cancel_leaves_nothing(push, scope):
    push.at = lambda done, total: done >= 2 * MIB and scope.cancel()

    with pytest.raises(Cancelled):
        push(push.image(os.urandom(20 * MIB)), scope=scope)

    assert push.stored == []
    assert sorted(p.name for p in push.host.iterdir()) == [".store"]
    assert push.steps[-1][0] < 20 * MIB


def test_full_host_is_told_before_anything_is_sent(push, scope, monkeypatch):
    monkeypatch.setattr(space, "SPARE_BYTES", 10**15)

    with pytest.raises(NotEnoughSpace, match=r"no room for .*name\.img on host-a"):
        push(push.image(b"data"), scope=scope)

    assert push.steps == []
    assert push.stored == []


def test_full_file_system_is_named_and_gets_its_space_back(
    full, push, scope, monkeypatch
):
    monkeypatch.setattr(space, "SPARE_BYTES", -(10**9))

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
