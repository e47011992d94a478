"""Fetching an image: once, resumed where it stopped, from servers that misbehave.

Against a local web server. Checksums are in test_checksums.py; cancelling, waiting and
copies of local files in test_cancelling.py and test_local.py.
"""

import os

import pytest

from orchestration.compose.catalogue import Image
from orchestration.errors import ImageFailed, NotEnoughSpace
from orchestration.providers.images import base_images, download, space
from tests.orchestration.providers.images.base_images.webserver import (
    DATA,
    SHA256,
    image,
    part_of,
)


def test_image_is_fetched_once_and_not_even_read_again(server, target, scope):
    seen, wanted = [], image(server)

    first = base_images.ensure_image(
        wanted, target, scope=scope, on_progress=lambda *step: seen.append(step)
    )
    status = target.stat()
    target.write_bytes(b"?" * len(DATA))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    second = base_images.ensure_image(wanted, target, scope=scope)

    assert (first, second) == (True, False)
    assert seen[-1] == (len(DATA), len(DATA))
    assert len(server.asked) == 1
    assert not target.with_name("disk.qcow2.part").exists()


def test_known_file_without_stamp_is_adopted(server, target, scope):
    target.parent.mkdir()
    target.write_bytes(DATA)

    assert not base_images.ensure_image(image(server), target, scope=scope)
    assert server.asked == []


def test_fetch_goes_on_where_the_last_one_stopped(server, target, scope):
    part_of(target, DATA[:1000])

    assert base_images.ensure_image(image(server), target, scope=scope)

    assert target.read_bytes() == DATA
    assert server.asked == [("/disk.qcow2", "bytes=1000-")]


def test_complete_part_needs_no_more_bytes(server, target, scope):
    part_of(target, DATA)

    assert base_images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_server_without_ranges_starts_again(server, target, scope):
    server.ranges = False
    part_of(target, DATA[:1000])

    assert base_images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


@pytest.mark.parametrize("left_over", [b"other bytes", b"x" * (len(DATA) + 5)])
def test_part_of_another_file_is_fetched_anew(server, target, scope, left_over):
    part_of(target, left_over)

    assert base_images.ensure_image(image(server), target, scope=scope)
    assert target.read_bytes() == DATA


def test_cut_connection_is_taken_up_again(server, target, scope):
    server.cut_after = 5000
    said = []

    assert base_images.ensure_image(image(server), target, scope=scope, log=said.append)

    assert target.read_bytes() == DATA
    assert server.asked[1][1] != ""
    assert any("trying again" in line for line in said)


def test_truncated_for_good_is_an_error_that_keeps_the_part(server, target, scope):
    server.cut_after, server.cut_once, server.ranges = 5000, False, False

    with pytest.raises(ImageFailed, match="could not be fetched") as failed:
        base_images.ensure_image(image(server), target, scope=scope)
    assert failed.value.retryable
    assert not target.exists()
    assert target.with_name("disk.qcow2.part").read_bytes() == DATA[:5000]
    assert len(server.asked) == download.ATTEMPTS


def test_missing_image_is_told_at_once(server, target, scope):
    wanted = image(server, url=server.url("/none.qcow2"))

    with pytest.raises(ImageFailed, match="404"):
        base_images.ensure_image(wanted, target, scope=scope)
    assert len(server.asked) == 1


def test_busy_server_is_asked_again(server, target, scope):
    server.failures = [503, 503]

    assert base_images.ensure_image(image(server), target, scope=scope)
    assert len(server.asked) == 3


def test_unreachable_server_is_an_image_error(target, scope):
    wanted = Image(name="disk", url="http://127.0.0.1:9/disk.qcow2", sha256=SHA256)

    with pytest.raises(ImageFailed, match=r"127\.0\.0\.1:9"):
        base_images.ensure_image(wanted, target, scope=scope)


def test_full_disk_is_told_before_anything_is_written(
    server, target, scope, monkeypatch
):
    monkeypatch.setattr(space, "SPARE_BYTES", 2**62)

    with pytest.raises(NotEnoughSpace, match=r"no room for disk\.qcow2"):
        base_images.ensure_image(image(server), target, scope=scope)
    assert not target.with_name("disk.qcow2.part").exists()


def test_disk_that_becomes_full_is_told_too(target):
    full = OSError(28, "No space left on device")

    error = download.not_stored(target, full)

    assert isinstance(error, NotEnoughSpace)
    assert isinstance(download.not_stored(target, OSError(13, "no")), ImageFailed)


def test_progress_begins_where_the_last_fetch_stopped_and_digesting_has_its_own(
    server, target, scope
):
    part_of(target, DATA[:5000])
    brought, verified = [], []

    base_images.ensure_image(
        image(server),
        target,
        scope=scope,
        on_progress=lambda *at: brought.append(at),
        on_verify=lambda *at: verified.append(at),
    )

    assert brought[0] == (5000, len(DATA))
    assert brought[-1] == verified[-1] == (len(DATA), len(DATA))
