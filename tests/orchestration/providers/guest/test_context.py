"""A running guest's context is exchanged, tried with the shell of this machine."""

import io
import subprocess
import tarfile
from pathlib import Path

from orchestration.providers.guest.context import (
    EXCHANGE,
    exchange_context,
    read_context_digest,
)
from orchestration.transport.base import Scope, command
from tests.fakes import FakeTransport

READ = "cat /etc/nocloud/context.sha256"


def archive(folder: Path, **files: str) -> Path:
    path = folder / "context.tar"
    with tarfile.open(path, "w") as packed:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            packed.addfile(info, io.BytesIO(text.encode()))
    return path


def exchange(folder: Path, packed: Path) -> int:
    """Run the script with `folder` in place of the guest's."""
    script = EXCHANGE.replace("/etc/nocloud", str(folder))
    argv = ["sh", "-c", script, "exchange", str(packed), "12ab"]
    return subprocess.run(argv, capture_output=True, check=False).returncode


def test_new_context_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    old = tmp_path / "context"
    old.mkdir()
    (old / "gone").touch()

    exit_code = exchange(tmp_path, archive(tmp_path, data="two"))

    assert exit_code == 0
    assert [path.name for path in old.iterdir()] == ["data"]
    assert (tmp_path / "context.sha256").read_text() == "12ab\n"
    assert not (tmp_path / "context.tar").exists()


def test_archive_that_is_cut_off_leaves_the_old_context(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "kept").touch()
    packed = archive(tmp_path, data="x" * 5000)
    packed.write_bytes(packed.read_bytes()[:2000])

    exit_code = exchange(tmp_path, packed)

    assert exit_code != 0
    assert (tmp_path / "context" / "kept").exists()
    assert not (tmp_path / "context.sha256").exists()


def test_archive_goes_to_the_guest_before_it_is_unpacked() -> None:
    words = ("sh", "-c", EXCHANGE, "exchange", "/etc/nocloud/context.tar", "12ab")
    there = FakeTransport("a", [(str(command(*words)), 0)])

    exchange_context(there, b"packed", "12ab", scope=Scope())

    assert there.files == {"/etc/nocloud/context.tar": b"packed"}
    assert there.calls[0].as_root


def test_guest_says_which_context_it_has() -> None:
    noted = FakeTransport("a", [(READ, "12ab\n")])
    none = FakeTransport("b", [(READ, 1)])

    assert read_context_digest(noted, scope=Scope()) == "12ab"
    assert read_context_digest(none, scope=Scope()) == ""
