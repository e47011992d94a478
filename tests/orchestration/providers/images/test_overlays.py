"""Overlays made by one command, with the real qemu-img."""

import os
import shutil
import subprocess
from pathlib import Path
from threading import Thread

import pytest

from orchestration.errors import Cancelled, ImageFailed
from orchestration.providers.images import overlays, qemu_img
from orchestration.providers.images.overlays import create_overlays
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.orchestration.providers.images.edited_script import Edit, EditedTransport
from tests.tags import OWN_TAG

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
HERE = LocalTransport()


@pytest.fixture
def base(tmp_path: Path) -> str:
    path = tmp_path / "base.qcow2"
    words = ["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"]
    subprocess.run(words, check=True)
    return str(path)


def make(
    base: str,
    folder: Path,
    *names: str,
    scope: Scope | None = None,
    transport: LocalTransport = HERE,
) -> list[str]:
    made: list[str] = []
    create_overlays(
        transport,
        str(folder),
        names,
        backing=base,
        backing_format="qcow2",
        on_made=made.append,
        scope=scope or Scope(OWN_TAG),
    )
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_clones_disks_are_their_owners_alone(base, tmp_path):
    make(base, tmp_path, "a.qcow2", "b.qcow2")

    modes = {
        (tmp_path / name).stat().st_mode & 0o777 for name in ("a.qcow2", "b.qcow2")
    }
    assert modes == {0o600}


def test_all_are_made_as_qemu_img_makes_them(base, tmp_path, monkeypatch):
    monkeypatch.setattr(overlays, "AT_ONCE", 2)
    clones = [f"-clone {number}.qcow2" for number in range(5)]
    (tmp_path / clones[3]).write_bytes(b"data")

    made = make(base, tmp_path, *clones)

    assert (tmp_path / clones.pop(3)).read_bytes() == b"data"
    assert made == clones
    for path in (tmp_path / name for name in clones):
        facts = qemu_img.info(HERE, str(path), scope=Scope())
        assert (facts.backing, facts.virtual_size_bytes) == (base, 8 * 1024**2)
        path.chmod(0o444)
        qemu_img.check(HERE, str(path), scope=Scope())
    assert len(names(tmp_path)) == 6
    assert make(base, tmp_path, *clones) == []


def test_base_whose_size_is_known_is_not_opened(tmp_path):
    create_overlays(
        HERE,
        str(tmp_path),
        ["clone"],
        backing="/nowhere/own.qcow2",
        backing_format="qcow2",
        on_made=print,
        size_bytes=65536,
        scope=Scope(OWN_TAG),
    )

    facts = qemu_img.info(
        HERE, str(tmp_path / "clone"), image_format="qcow2", scope=Scope()
    )
    assert (facts.backing, facts.virtual_size_bytes) == ("/nowhere/own.qcow2", 65536)


def test_missing_base_makes_nothing(tmp_path):
    with pytest.raises(ImageFailed, match="could not be made") as failed:
        make(str(tmp_path / "nowhere"), tmp_path, "clone")

    assert "nowhere" in failed.value.detail
    assert names(tmp_path) == set()


def test_leftovers_of_killed_writers_go_and_files_in_writing_stay(base, tmp_path):
    for name in ("old", "new"):
        folder = tmp_path / f".clones.{name}.part"
        folder.mkdir()
        (folder / "clone").write_bytes(b"half")
    os.utime(tmp_path / ".clones.old.part", (1, 1))

    make(base, tmp_path, "clone")

    assert names(tmp_path) == {"base.qcow2", "clone", ".clones.new.part"}


@pytest.mark.parametrize("is_killed", [False, True])
def test_cancel_in_the_middle_leaves_no_half_file(
    base, tmp_path, monkeypatch, is_killed
):
    """A tee of our own stops after half of the bytes; a killed shell cleans nothing."""
    careless = EditedTransport(Edit("trap 'rm -rf", "trap 'echo"))
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    script = '#!/bin/sh\nhead -c 1000 > "$2"; echo half > "${0%/*}/begun"; sleep 60\n'
    (bin_ / "tee").write_text(script)
    (bin_ / "tee").chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    os.mkfifo(bin_ / "begun")
    scope, folder = Scope(OWN_TAG), tmp_path / "disks"
    folder.mkdir()
    # Who reads from a FIFO waits until somebody writes to it.
    watcher = Thread(
        target=lambda: (bin_ / "begun").read_text() and scope.cancel(), daemon=True
    )
    watcher.start()

    with pytest.raises(Cancelled):
        make(
            base,
            folder,
            "clone",
            scope=scope,
            transport=careless if is_killed else HERE,
        )

    watcher.join(20)
    assert names(folder) == set()
