"""Facts of the real qemu-img about disks: chains, locks, broken ones, other files.

A disk over another file than expected is not used. What is made is in test_disks.py.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images import qemu_img
from tests.fakes import FakeTransport
from tests.orchestration.providers.images.qemu_img.making import needs_qemu, overlay


@needs_qemu
def test_format_that_is_given_is_not_guessed(host, base, scope):
    info = qemu_img.info(host, base, image_format="raw", scope=scope)

    assert info.format == "raw"


@needs_qemu
def test_check_finds_a_broken_image(host, base, scope):
    qemu_img.check(host, base, scope=scope)
    with Path(base).open("r+b") as file:
        file.seek(65536)
        file.write(b"\xff" * 65536)

    with pytest.raises(ImageFailed, match="is broken"):
        qemu_img.check(host, base, scope=scope)


@needs_qemu
def test_file_that_is_no_image_cannot_be_read(host, tmp_path, scope):
    with pytest.raises(ImageFailed, match="cannot be read") as failed:
        qemu_img.info(host, str(tmp_path / "none"), scope=scope)
    assert "No such file" in failed.value.detail


@pytest.mark.parametrize("said", ["{}", "[]", '{"format": 1, "virtual-size": {}}'])
def test_nonsense_from_the_tool_is_an_image_error(scope, said):
    words = "qemu-img info --force-share --output=json /d"
    host = FakeTransport("host-b", [(words, said)])

    with pytest.raises(ImageFailed, match="cannot be read"):
        qemu_img.info(host, "/d", scope=scope)


@needs_qemu
def test_chain_is_whole_or_the_missing_file_is_named(host, base, tmp_path, scope):
    middle, top = tmp_path / "golden.qcow2", tmp_path / "clone.qcow2"
    overlay(host, middle, base, scope)
    overlay(host, top, str(middle), scope)
    qemu_img.require_chain(host, str(top), scope=scope)

    Path(base).unlink()

    with pytest.raises(ImageFailed, match=r"clone\.qcow2") as broken:
        qemu_img.require_chain(host, str(top), scope=scope)
    assert base in broken.value.detail


@needs_qemu
def test_disk_that_lies_over_another_file_is_not_used(host, base, tmp_path, scope):
    other, top = tmp_path / "other.qcow2", tmp_path / "clone.qcow2"
    shutil.copy(base, other)
    overlay(host, top, base, scope)
    qemu_img.require_chain(host, str(top), over=base, scope=scope)

    words = ("rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", str(other), str(top))
    subprocess.run(["qemu-img", *words], check=True)

    with pytest.raises(ImageFailed, match=r"clone\.qcow2") as broken:
        qemu_img.require_chain(host, str(top), over=base, scope=scope)
    assert f"over {base}, and lies over {other}" in broken.value.detail


@needs_qemu
def test_disk_whose_data_is_in_another_file_is_not_used(host, tmp_path, scope):
    disk, data = tmp_path / "own.qcow2", tmp_path / "other.raw"
    options = f"data_file={data},data_file_raw=on"
    words = ("create", "-q", "-f", "qcow2", "-o", options, str(disk), "1M")
    subprocess.run(["qemu-img", *words], check=True)

    with pytest.raises(ImageFailed, match=r"own\.qcow2") as refused:
        qemu_img.require_chain(host, str(disk), scope=scope)
    assert refused.value.detail.endswith(str(data))


@needs_qemu
@pytest.mark.skipif(not shutil.which("qemu-io"), reason="qemu-io not installed")
def test_disk_is_locked_as_long_as_somebody_writes_to_it(host, base, scope):
    assert not qemu_img.is_locked(host, base, scope=scope)
    writer = subprocess.Popen(
        ["qemu-io", "-f", "qcow2", base],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        writer.stdin.write("write 0 4096\n")
        writer.stdin.flush()
        writer.stdout.readline()

        assert qemu_img.is_locked(host, base, scope=scope)
    finally:
        writer.communicate("quit\n", timeout=60)

    assert not qemu_img.is_locked(host, base, scope=scope)
