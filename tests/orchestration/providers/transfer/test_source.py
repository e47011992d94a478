"""The digests of what goes to hosts."""

import hashlib
import os
import time

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images.digests import read_stamp
from orchestration.providers.transfer import source
from orchestration.providers.transfer.source import (
    own_content,
    remove_old_notes,
    stored_content,
)
from orchestration.transport.base import Scope

DATA = b"a user's disk"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(name="own")
def _own(tmp_path):
    path = tmp_path / "files" / "disk.img"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


@pytest.fixture(name="look")
def _look(tmp_path):
    """Look at a user's file, and at how often it was read."""
    reads = []

    def look(path):
        return own_content(
            path,
            tmp_path / "images",
            scope=Scope(),
            on_progress=lambda done, total: None,
            log=reads.append,
        )

    look.reads = reads
    return look


def test_users_file_is_read_once_and_nothing_is_written_beside_it(own, look):
    found = [look(own), look(own)]

    assert found[0] == found[1]
    assert found[0].digest.value == SHA256
    assert len(look.reads) == 1
    assert list(own.parent.iterdir()) == [own]


@pytest.mark.parametrize("change", ["size", "time"])
def test_changed_file_is_read_again(own, look, change):
    before = look(own)
    own.write_bytes(b"A user's disk" if change == "time" else b"another")
    os.utime(own, ns=(1, before.changed_ns + (1 if change == "time" else 0)))

    found = look(own)

    assert found.digest.value == hashlib.sha256(own.read_bytes()).hexdigest()
    assert found.digest != before.digest


def test_digests_that_were_made_long_ago_are_forgotten(own, look, tmp_path):
    look(own)
    folder = tmp_path / "images" / source.DIGESTS
    then = time.time() - 5000
    for path in folder.iterdir():
        os.utime(path, (then, then))
    other = own.with_name("other.img")
    other.write_bytes(b"another")
    look(other)

    remove_old_notes(tmp_path / "images", age_s=3600)

    assert len(list(folder.iterdir())) == 2  # a note and its lock
    look(other)
    assert len(look.reads) == 2
    remove_old_notes(tmp_path / "nowhere", age_s=0)


def test_file_that_is_gone_is_named(own, look, tmp_path):
    own.unlink()

    with pytest.raises(ImageFailed, match=r"disk\.img no longer exists"):
        look(own)
    with pytest.raises(ImageFailed, match=r"disk\.img is not in main's store"):
        stored_content(own, scope=Scope())


def test_image_of_the_store_is_known_by_its_stamp(own, monkeypatch):
    first = stored_content(own, scope=Scope())
    monkeypatch.setattr(source, "digest_of", None)

    assert stored_content(own, scope=Scope()) == first
    assert read_stamp(own).digest == first.digest
    assert first.digest.value == SHA256
