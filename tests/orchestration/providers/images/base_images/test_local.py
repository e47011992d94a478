"""Images that are files on main already: copied, verified, recognised.

No web server takes part. Fetching is in test_fetching.py.
"""

import os

import pytest

from orchestration.compose.catalogue import Image
from orchestration.errors import ImageFailed
from orchestration.providers.images import base_images, protection
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.orchestration.providers.images.base_images.webserver import (
    DATA,
    SHA256,
    part_of,
)


def test_local_image_is_copied_and_verified(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    assert base_images.ensure_image(wanted, target, scope=scope)
    assert not base_images.ensure_image(wanted, target, scope=scope)
    assert target.read_bytes() == DATA
    source.write_bytes(b"changed in place")
    assert target.read_bytes() == DATA


def test_half_copy_of_a_killed_worker_is_made_anew(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    source.write_bytes(DATA)
    part_of(target, b"half of something else")

    base_images.ensure_image(
        Image(name="disk", path=str(source), sha256=SHA256), target, scope=scope
    )

    assert target.read_bytes() == DATA
    assert not target.with_name(f"{target.name}.part").exists()


def test_local_image_that_is_wrong_or_missing_is_refused(tmp_path, target, scope):
    source = tmp_path / "built.qcow2"
    wanted = Image(name="disk", path=str(source), sha256=SHA256)

    with pytest.raises(ImageFailed, match="is not at"):
        base_images.ensure_image(wanted, target, scope=scope)
    source.write_bytes(b"else")
    with pytest.raises(ImageFailed, match="not the expected file"):
        base_images.ensure_image(wanted, target, scope=scope)
    assert source.read_bytes() == b"else"


def test_same_file_is_recognised_by_content(tmp_path, scope):
    host = SimulatedTransport("host-b", tmp_path / "sim")
    seed = tmp_path / "seed"
    seed.write_bytes(b"1")

    before = base_images.has_same_file(host, seed, "/a/seed", scope=scope)
    host.put(seed, "/a/seed", scope=scope)
    same = base_images.has_same_file(host, seed, "/a/seed", scope=scope)
    seed.write_bytes(b"2")

    assert (before, same) == (False, True)
    assert not base_images.has_same_file(host, seed, "/a/seed", scope=scope)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_image_that_libvirt_gave_away_is_roots_again(tmp_path, scope):
    path = tmp_path / "image.qcow2"
    path.write_bytes(DATA)
    os.chown(path, 12345, 12345)

    protection.ensure_guarded(LocalTransport(), path, scope=scope)

    status = path.stat()
    assert (status.st_uid, status.st_gid) == (0, 0)
    assert status.st_mode & 0o7777 == 0o444


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_image_that_a_link_leads_to_keeps_its_owner(tmp_path, scope):
    elsewhere, path = tmp_path / "admins.qcow2", tmp_path / "image.qcow2"
    elsewhere.write_bytes(DATA)
    elsewhere.chmod(0o664)
    os.chown(elsewhere, 12345, 12345)
    path.symlink_to(elsewhere)

    protection.ensure_guarded(LocalTransport(), path, scope=scope)

    status = elsewhere.stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (12345, 0o664)
