"""Disks made by the real qemu-img: once, whole, and nothing beside them.

Overlays, copies and blank disks; cancelled ones leave nothing. What is read about disks
is in test_reading.py.
"""

import os
import re

import pytest

from orchestration.errors import Cancelled, ImageFailed, NotEnoughSpace
from orchestration.providers.images import qemu_img
from orchestration.providers.images.qemu_img import Layer
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.fakes import FakeTransport, Reply
from tests.orchestration.providers.images.qemu_img.making import (
    MIB,
    needs_qemu,
    overlay,
)


@needs_qemu
def test_overlay_is_made_once_and_leaves_nothing_beside_it(host, base, tmp_path, scope):
    disk = tmp_path / "web.qcow2"

    results = [overlay(host, disk, base, scope) for _ in range(2)]
    info = qemu_img.info(host, str(disk), scope=scope)

    assert results == [True, False]
    assert (info.format, info.backing) == ("qcow2", base)
    assert info.virtual_size_bytes == 8 * MIB
    assert sorted(p.name for p in tmp_path.iterdir()) == ["base.qcow2", "web.qcow2"]


@needs_qemu
def test_overlay_grows_by_gigabytes_on_top_of_its_base(host, base, tmp_path, scope):
    overlay(host, tmp_path / "big.qcow2", base, scope, expand_gib=3)

    info = qemu_img.info(host, str(tmp_path / "big.qcow2"), scope=scope)

    assert info.virtual_size_bytes == 8 * MIB + 3 * qemu_img.GIB


@needs_qemu
def test_disk_on_another_base_is_not_touched(host, base, tmp_path, scope):
    disk = tmp_path / "web.qcow2"
    overlay(host, disk, base, scope)
    before = disk.read_bytes()

    changed = overlay(host, disk, str(tmp_path / "other.qcow2"), scope)

    assert not changed
    assert disk.read_bytes() == before


@needs_qemu
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_disks_mode_does_not_follow_the_accounts_umask(tmp_path, base, scope, umask):
    host = LocalTransport()
    kept = os.umask(umask)

    try:
        overlay(host, tmp_path / "web.qcow2", base, scope)
        qemu_img.create_blank(host, str(tmp_path / "b.qcow2"), size_gib=1, scope=scope)
    finally:
        os.umask(kept)

    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.glob("*b.qcow2")}
    assert modes == {"web.qcow2": 0o600, "b.qcow2": 0o600}


@needs_qemu
def test_missing_base_leaves_nothing_that_looks_ready(host, tmp_path, scope):
    disk = tmp_path / "web.qcow2"

    with pytest.raises(ImageFailed, match=r"web\.qcow2 could not be made on host-a"):
        overlay(host, disk, str(tmp_path / "none.qcow2"), scope)
    assert not disk.exists()


@needs_qemu
def test_convert_reports_progress_and_flattens(host, base, tmp_path, scope):
    overlay(host, tmp_path / "web.qcow2", base, scope)
    (tmp_path / "web.qcow2").chmod(0o444)
    seen = []

    qemu_img.convert(
        host,
        Layer(str(tmp_path / "web.qcow2"), "qcow2"),
        str(tmp_path / "flat.raw"),
        over=Layer(base, "qcow2"),
        target_format="raw",
        scope=scope,
        on_progress=lambda done, total: seen.append((done, total)),
    )

    assert qemu_img.info(host, str(tmp_path / "flat.raw"), scope=scope).backing == ""
    assert seen[-1][0] == seen[-1][1] > 0


@needs_qemu
def test_progress_counts_the_data_and_not_the_holes(host, tmp_path, scope):
    source, seen = tmp_path / "sparse.raw", []
    with source.open("wb") as file:
        file.write(b"x" * (4 * MIB))
        file.truncate(1024 * MIB)

    qemu_img.convert(
        host,
        Layer(str(source), "raw"),
        str(tmp_path / "copy.qcow2"),
        scope=scope,
        on_progress=lambda done, total: seen.append((done, total)),
    )

    assert 4 * MIB <= seen[-1][0] < 6 * MIB
    assert seen == sorted(seen)
    assert {total for _, total in seen} == {seen[-1][0]}


@needs_qemu
def test_blank_disk_is_made_once(host, tmp_path, scope):
    disk = tmp_path / "blank.qcow2"

    results = [
        qemu_img.create_blank(host, str(disk), size_gib=2, scope=scope)
        for _ in range(2)
    ]

    info = qemu_img.info(host, str(disk), scope=scope)
    assert results == [True, False]
    assert info == qemu_img.ImageInfo(
        "qcow2", 2 * qemu_img.GIB, info.actual_size_bytes, ""
    )
    assert [path.name for path in tmp_path.iterdir()] == ["blank.qcow2"]


class CancelledAfter(LocalTransport):
    """Its run is cancelled as soon as a program has done its work."""

    def __init__(self, program):
        super().__init__()
        self.program = program

    def run(self, cmd, **options):
        completed = super().run(cmd, **options)
        if self.program in str(cmd):
            options["scope"].cancel()
        return completed


@needs_qemu
@pytest.mark.parametrize("grown", [0, 1])
def test_overlay_that_is_cancelled_before_it_has_its_name_is_removed(
    base, tmp_path, scope, grown
):
    with pytest.raises(Cancelled):
        overlay(
            CancelledAfter("qemu-img create"),
            tmp_path / "web.qcow2",
            base,
            scope,
            expand_gib=grown,
        )

    assert [p.name for p in tmp_path.iterdir()] == ["base.qcow2"]


@needs_qemu
def test_blank_disk_that_is_cancelled_before_it_has_its_name_is_removed(
    tmp_path, scope
):
    host = CancelledAfter("qemu-img create")

    with pytest.raises(Cancelled):
        qemu_img.create_blank(host, str(tmp_path / "d"), size_gib=1, scope=scope)

    assert list(tmp_path.iterdir()) == []


@needs_qemu
def test_half_copy_of_a_dead_worker_is_overwritten(host, base, tmp_path, scope):
    target = tmp_path / "copy.qcow2"
    target.with_name("copy.qcow2.part").write_bytes(b"half" * 1000)

    qemu_img.convert(host, Layer(base, "qcow2"), str(target), scope=scope)

    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["base.qcow2", "copy.qcow2"]
    assert target.stat().st_mode & 0o777 == 0o600
    target.chmod(0o444)
    qemu_img.check(host, str(target), scope=scope)


def test_full_file_system_is_told_as_such(scope):
    full = Reply(stderr="qemu-img: d.part: No space left on device", exit_code=1)
    host = FakeTransport(
        "host-b",
        [
            ("test -e /d", 1),
            (re.compile(".* qemu-img create -q -f qcow2 .* -b /base /d.part"), full),
            ("rm -f -- /d.part", 0),
        ],
    )

    with pytest.raises(NotEnoughSpace, match="host-b is full"):
        overlay(host, "/d", "/base", scope)
    assert all(cmd.as_root for cmd in host.calls)


def test_rehearsed_overlay_is_idempotent_too(tmp_path, scope):
    host = SimulatedTransport("host-a", tmp_path)

    results = [overlay(host, "/a/d", "/i/b", scope, expand_gib=1) for _ in range(2)]

    assert results == [True, False]
