"""The digests of what goes to hosts."""

import hashlib

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images.digests import read_stamp
from orchestration.providers.transfer import source
from orchestration.providers.transfer.source import stored_content
from orchestration.transport.base import Scope

DATA = b"an image"
SHA256 = hashlib.sha256(DATA).hexdigest()


def test_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ImageFailed, match=r"disk\.img is not in main's store"):
        stored_content(tmp_path / "disk.img", scope=Scope())


def test_image_of_the_store_is_known_by_its_stamp(tmp_path, monkeypatch):
    image = tmp_path / "disk.img"
    image.write_bytes(DATA)
    first = stored_content(image, scope=Scope())
    monkeypatch.setattr(source, "digest_of", None)

    assert stored_content(image, scope=Scope()) == first
    assert read_stamp(image).digest == first.digest
    assert first.digest.value == SHA256
