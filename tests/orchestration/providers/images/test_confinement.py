"""qemu-img reads what a user made without rights, and only the files it is given."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.providers.images import confinement, qemu_img
from orchestration.providers.images.confinement import BASE, SOURCE, TARGET, confined
from orchestration.providers.images.qemu_img import Layer
from orchestration.transport.base import Command, Scope
from orchestration.transport.local import LocalTransport
from tests.deployed_files import WORKER, rights

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img not installed"),
]
SECRET = b"root only " * 6000


@pytest.fixture(name="secret")
def _secret(tmp_path: Path) -> Path:
    secret = tmp_path / "shadow"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    return secret


def run(source: Path, target: str, *words: str, base: str = "", path: str = "") -> str:
    cmd = confined(str(source), target, *words, base=base)
    if path:
        cmd = Command(cmd.argv, env={"PATH": path}, as_root=True)
    return LocalTransport().run(cmd, scope=Scope()).stdout


def create(*words: str | Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", *map(str, words)], check=True)


def with_data_file(folder: Path) -> Path:
    """Return an image that keeps its data in the secret file."""
    own, data = folder / "own", folder / "data_w"
    create("-f", "qcow2", "-o", f"data_file={data},data_file_raw=on", own, "60000")
    own.write_bytes(own.read_bytes().replace(b"data_w", b"shadow"))
    return own


def converted(source: Path, image_format: str) -> bytes:
    target = source.with_name("converted.raw")
    qemu_img.convert(
        LocalTransport(),
        Layer(str(source), image_format),
        str(target),
        target_format="raw",
        scope=Scope(),
    )
    return target.read_bytes()


def test_command_has_no_rights_and_its_files(tmp_path: Path, secret: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("content\n")
    base = tmp_path / "base"
    base.write_text("below\n")
    script = "id -u; ulimit -v; "
    script += f"cat {SOURCE} {BASE}; echo made >{TARGET}; cat {secret} || :"

    said = run(source, str(target), "sh", "-c", script, base=str(base))

    memory = confinement.MEMORY_BYTES // 1024
    files = ["content", "below"]
    assert said.splitlines() == [str(confinement.NOBODY), str(memory), *files]
    assert target.read_text() == "made\n"
    assert target.stat().st_mode & 0o7777 == 0o600


def test_host_without_the_tools_runs_it_too(tmp_path: Path) -> None:
    source, tools = tmp_path / "source", tmp_path / "bin"
    source.write_text("content\n")
    tools.mkdir()
    for name in ("sh", "cat", "rm"):
        (tools / name).symlink_to(str(shutil.which(name)))

    said = run(source, str(tmp_path / "target"), "cat", SOURCE, path=str(tools))

    assert said == "content\n"


def test_copy_is_roots_and_has_its_content(tmp_path: Path) -> None:
    source = tmp_path / "own.raw"
    source.write_bytes(b"content!" * 8192)

    assert converted(source, "raw") == source.read_bytes()

    status = (tmp_path / "converted.raw").stat()
    assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o600)


@pytest.mark.parametrize("image_format", ["qcow2", "vmdk"])
def test_backing_file_that_an_image_names_is_not_opened(
    tmp_path: Path, secret: Path, image_format: str
) -> None:
    below, own = tmp_path / "below", tmp_path / "own"
    convert = ("qemu-img", "convert", "-f", "raw", "-O", image_format)
    subprocess.run([*convert, secret, below], check=True)
    create("-f", image_format, "-F", image_format, "-b", below, own)

    assert SECRET[:10] not in converted(own, image_format)


def test_data_file_that_an_image_names_cannot_be_opened(
    tmp_path: Path, secret: Path
) -> None:
    own = with_data_file(tmp_path)

    with pytest.raises(ImageFailed, match="could not be converted"):
        converted(own, "qcow2")


def test_format_is_never_detected(tmp_path: Path, secret: Path) -> None:
    own = tmp_path / "own"
    create("-f", "qcow2", "-u", "-F", "raw", "-b", secret, own, "60000")

    assert converted(own, "raw").rstrip(b"\0") == own.read_bytes().rstrip(b"\0")


def test_layer_is_read_only_over_the_one_expected(tmp_path: Path, secret: Path) -> None:
    base, disk, flat = (tmp_path / name for name in ("base", "disk", "flat"))
    base.write_bytes(b"expected" * 8192)
    create("-f", "qcow2", "-u", "-F", "raw", "-b", secret, disk, "65536")

    qemu_img.convert(
        LocalTransport(),
        Layer(str(disk), "qcow2"),
        str(flat),
        over=Layer(str(base), "raw"),
        target_format="raw",
        scope=Scope(),
    )

    assert flat.read_bytes() == base.read_bytes()


def test_data_file_that_a_layer_names_cannot_be_opened(
    tmp_path: Path, secret: Path
) -> None:
    base, disk = tmp_path / "base", with_data_file(tmp_path)
    base.write_bytes(b"expected" * 8192)

    with pytest.raises(ImageFailed, match="could not be converted"):
        qemu_img.convert(
            LocalTransport(),
            Layer(str(disk), "qcow2"),
            str(tmp_path / "flat"),
            over=Layer(str(base), "raw"),
            scope=Scope(),
        )


def test_image_is_checked_without_rights(tmp_path: Path, secret: Path) -> None:
    image = with_data_file(tmp_path)

    with pytest.raises(ImageFailed) as caught:
        qemu_img.check(LocalTransport(), str(image), scope=Scope())

    assert "Permission denied" in caught.value.detail


def test_overlay_whose_size_is_known_does_not_open_its_base(tmp_path: Path) -> None:
    disk = tmp_path / "disk"

    made = qemu_img.create_overlay(
        LocalTransport(),
        str(disk),
        backing="/nowhere/own.qcow2",
        backing_format="qcow2",
        size_bytes=65536,
        scope=Scope(),
    )

    assert made
    found = qemu_img.info(
        LocalTransport(), str(disk), image_format="qcow2", scope=Scope()
    )
    assert found.virtual_size_bytes == 65536
    assert (found.backing, found.backing_format) == ("/nowhere/own.qcow2", "qcow2")


def flattened(disk: Path, base: Path | None = None) -> bytes:
    target = disk.with_name("flat.raw")
    qemu_img.convert(
        LocalTransport(),
        Layer(str(disk), "qcow2"),
        str(target),
        over=Layer(str(base), "raw") if base else None,
        is_private=True,
        target_format="raw",
        scope=Scope(),
    )
    return target.read_bytes()


def test_private_disk_is_read_over_its_base(tmp_path: Path) -> None:
    base, disk = tmp_path / "base", tmp_path / "disk"
    base.write_bytes(b"expected" * 8192)
    create("-f", "qcow2", "-F", "raw", "-b", base, disk)
    subprocess.run(["qemu-io", "-c", "write -P 7 0 512", disk], check=True)
    disk.chmod(0o600)

    needed = qemu_img.data_bytes(
        LocalTransport(),
        Layer(str(disk), "qcow2"),
        over=Layer(str(base), "raw"),
        scope=Scope(),
    )

    assert flattened(disk, base) == b"\7" * 512 + base.read_bytes()[512:]
    assert needed > len(base.read_bytes())


def test_private_disk_cannot_name_another_file(tmp_path: Path, secret: Path) -> None:
    disk = with_data_file(tmp_path)
    disk.chmod(0o600)

    with pytest.raises(ImageFailed, match="could not be converted") as caught:
        flattened(disk)

    assert "Permission denied" in caught.value.detail


def test_reader_of_a_private_file_has_no_right_and_leaves_nothing(
    tmp_path: Path, secret: Path
) -> None:
    script = f"id -u; grep ^Cap[EBA] /proc/self/status; pwd; cat {secret} /dev/fd/3"
    reading = confined(str(secret), "", "sh", "-c", script, is_private=True)

    ran = LocalTransport().run(reading, scope=Scope(), check=False)

    user, *capabilities, folder = ran.stdout.split()
    assert user == str(confinement.NOBODY)
    assert set(capabilities[1::2]) == {"0000000000000000"}
    assert not Path(folder).parent.exists()
    assert "Permission denied" in ran.stderr


def test_private_file_that_cannot_be_served_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(ImageFailed) as caught:
        flattened(folder)

    assert "to be a regular file" in caught.value.detail


def test_worker_of_the_shipped_unit_reads_a_private_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    create("-f", "qcow2", disk, "1M")
    disk.chmod(0o600)
    os.chown(disk, 1234, 1234)
    node = '{"driver":"raw","file":{"driver":"nbd","server":%s}}'
    node %= '{"type":"unix","path":"source"}'
    words = ("qemu-img", "info", f"json:{node}")
    reading = confined(str(disk), "", *words, is_private=True)

    as_worker = Command(("setpriv", *rights(WORKER), *reading.argv), as_root=True)
    told = LocalTransport().run(as_worker, scope=Scope()).stdout

    assert "file format: raw" in told
