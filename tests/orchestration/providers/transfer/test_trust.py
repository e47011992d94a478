"""Which files on a host are taken for the content that their name says.

Those that arrived damaged, were exchanged, written to or given away by others are
verified, replaced or refused. How contents get there is in test_sender.py.
"""

import hashlib
import os

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images.digests import Digest, write_stamp
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.push import Pushed
from tests.orchestration.providers.transfer.pushing import MIB, blob_of


def test_damaged_arrival_is_discarded_and_gets_no_name(push, scope, monkeypatch):
    data = b"?" + os.urandom(3 * MIB)
    source = push.image(data)
    # A disk that returns something else than what was written to it.
    reads = "while read -r place length; do"
    damages = f'{reads} printf x | dd of="$part" conv=notrunc status=none'
    damaged = receiver.RECEIVE.replace(reads, damages)

    with monkeypatch.context() as patched:
        patched.setattr(receiver, "RECEIVE", damaged)
        with pytest.raises(ImageFailed, match="damaged; it was discarded"):
            push(source, scope=scope)
    assert push.stored == []
    assert not (push.host / "name.img").exists()

    assert push(source, scope=scope).pushed is Pushed.SENT
    assert (push.host / "name.img").read_bytes() == data


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
