"""Whether what was fetched is the image that the publisher means.

The sum is in the catalogue or in the publisher's list; what has another one is
discarded, what has none is used and said so.
"""

import hashlib

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images import base_images
from tests.orchestration.providers.images.base_images.webserver import (
    DATA,
    SHA256,
    image,
)


def test_damaged_file_is_replaced(server, target, scope):
    target.parent.mkdir()
    target.write_bytes(b"damaged")

    assert base_images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_wrong_checksum_is_discarded_and_both_sums_are_named(server, target, scope):
    server.data = b"!" + DATA[1:]
    got = hashlib.sha256(server.data).hexdigest()

    with pytest.raises(ImageFailed, match="not the expected file") as failed:
        base_images.ensure_image(image(server), target, scope=scope)
    assert SHA256 in failed.value.detail
    assert got in failed.value.detail
    assert not target.exists()
    assert not target.with_name("disk.qcow2.part").exists()


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

    assert base_images.ensure_image(wanted, target, scope=scope)
    assert not base_images.ensure_image(wanted, target, scope=scope)
    assert [path for path, _ in server.asked] == ["/SUMS", "/disk.qcow2"]


def test_list_with_another_sum_or_without_the_file_is_refused(server, target, scope):
    wanted = image(server, sha256="", sums_url=server.url("/SUMS"))
    server.sums = f"{'0' * 64}  disk.qcow2\n"
    with pytest.raises(ImageFailed, match="not the expected file"):
        base_images.ensure_image(wanted, target, scope=scope)

    server.sums = f"{SHA256}  disk.qcow2.sig\n"
    with pytest.raises(ImageFailed, match=r"does not name disk\.qcow2"):
        base_images.ensure_image(wanted, target, scope=scope)


def test_image_without_any_checksum_is_used_and_said_so(server, target, scope):
    said = []

    assert base_images.ensure_image(
        image(server, sha256=""), target, scope=scope, log=said.append
    )
    assert "unverified" in said[0]
