"""The receiver of a push, run by the shells and tools of a large and a small guest."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from orchestration.errors import CommandFailed, NotEnoughSpace
from orchestration.plan.execution import Conditions
from orchestration.project.packing import Packing, measure
from orchestration.providers.guest.copies.digest import LARGE_BYTES
from orchestration.providers.guest.copies.receiving import (
    IS_DIFFERENT,
    push_failed,
    receive_command,
    target_of,
)
from orchestration.transport.base import Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.tags import OWN_TAG

ODD = "-odd name\nwith 'quotes' and größe"


@dataclass
class Guest:
    """This machine with some guest's tools."""

    path: str

    def receive(
        self, source: Path, target: Path, stream: Iterator[bytes] | None = None
    ) -> Completed:
        found = receive_command(
            target_of(str(target)),
            Conditions(),
            is_folder=source.is_dir(),
            size_bytes=measure(source).size_bytes,
        )
        return LocalTransport("a").run(
            replace(found, env={"PATH": self.path}),
            scope=Scope(OWN_TAG),
            check=False,
            feed=stream or Packing(source).stream(),
        )


@pytest.fixture(params=["gnu", "busybox"])
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Guest:
    if request.param == "gnu":
        return Guest(os.environ["PATH"])
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("needs busybox")
    tools = tmp_path / "tools"
    tools.mkdir()
    subprocess.run([busybox, "--install", "-s", str(tools)], check=True)
    return Guest(str(tools))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "run").write_text("#!/bin/sh\n")
    (folder / "bin" / "run").chmod(0o750)
    (folder / ODD).write_text("odd")
    (folder / ".hidden").write_bytes(b"")
    (folder / "link").symlink_to("bin/run")
    os.utime(folder / "bin" / "run", (1_000_000_000, 1_000_000_000))
    os.utime(folder / "bin", (1_000_000_001, 1_000_000_001))
    return folder


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder of the guest."""
    folder = tmp_path / "guest"
    folder.mkdir()
    return folder


def tree(folder: Path) -> dict[str, str]:
    """The entries below a folder: contents of files, targets of links."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else "/"
        if path.is_dir()
        else path.read_text()
        for path in folder.rglob("*")
    }


def test_file_arrives_with_its_mode_and_time(
    guest: Guest, source: Path, place: Path
) -> None:
    target = place / "new" / ODD

    ended = guest.receive(source / "bin" / "run", target)

    assert (ended.exit_code, ended.stderr) == (0, "")
    status = target.stat()
    assert target.read_text() == "#!/bin/sh\n"
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o750, 1_000_000_000)
    assert list(tree(target.parent)) == [ODD]


def test_file_replaces_a_file(guest: Guest, source: Path, place: Path) -> None:
    (place / "run").write_text("old")

    guest.receive(source / "bin" / "run", place / "run")

    assert (place / "run").read_text() == "#!/bin/sh\n"


def test_new_folder_arrives_as_it_is(guest: Guest, source: Path, place: Path) -> None:
    ended = guest.receive(source, place / "to")

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert tree(place / "to") == tree(source)
    assert (place / "to" / "bin").stat().st_mtime == 1_000_000_001
    assert {name.split("/")[0] for name in tree(place)} == {"to"}


def test_existing_folder_keeps_what_is_not_pushed(
    guest: Guest, source: Path, place: Path
) -> None:
    (place / "bin").mkdir()
    (place / "bin" / "own").write_text("own")
    (place / "bin" / "run").write_text("old")
    (place / "link").write_text("was a file")

    ended = guest.receive(source, place)

    assert (ended.exit_code, ended.stderr) == (0, "")
    assert tree(place) == {**tree(source), "bin/own": "own"}


def test_folder_of_hundreds_is_merged_whole(guest: Guest, place: Path) -> None:
    source = place.parent / "many"
    source.mkdir()
    for number in range(450):
        (source / f"{number}").write_text(str(number))

    ended = guest.receive(source, place)

    assert ended.exit_code == 0
    assert tree(place) == tree(source)


@pytest.mark.parametrize("kind", ["folder", "file", "link to a folder"])
def test_conflict_changes_nothing(
    guest: Guest, source: Path, place: Path, kind: str
) -> None:
    if kind == "folder":
        conflict = place / ".hidden"
        conflict.mkdir()
    elif kind == "file":
        conflict = place / "bin"
        conflict.write_text("file")
    else:
        conflict = place / "link"
        conflict.symlink_to(place.parent)
    before = tree(place)

    ended = guest.receive(source, place)

    error = push_failed(ended, target_of(str(place)), "a")
    assert error.message.startswith(f"{conflict} in guest a is no such thing as")
    assert tree(place) == before


def test_folder_is_no_target_of_a_file(guest: Guest, source: Path, place: Path) -> None:
    ended = guest.receive(source / "bin" / "run", place)

    error = push_failed(ended, target_of(str(place)), "a")
    assert error.message == (
        f"{place} is a folder in guest a, and a file was to be pushed there."
    )
    assert tree(place) == {}


def test_file_is_no_target_of_a_folder(guest: Guest, source: Path, place: Path) -> None:
    (place / "file").write_text("file")

    ended = guest.receive(source, place / "file")

    error = push_failed(ended, target_of(str(place / "file")), "a")
    assert "is a file in guest a, and a folder" in error.message
    assert tree(place) == {"file": "file"}


@pytest.mark.parametrize("kept", [0.3, 0.7])
def test_stream_that_ends_early_leaves_nothing(
    guest: Guest, source: Path, place: Path, kept: float
) -> None:
    whole = b"".join(Packing(source).stream())

    ended = guest.receive(
        source, place / "to", iter((whole[: int(len(whole) * kept)],))
    )

    assert ended.exit_code != 0
    assert tree(place) == {}


def test_stream_without_its_digest_leaves_nothing(
    guest: Guest, source: Path, place: Path
) -> None:
    whole = b"".join(Packing(source / "bin" / "run").stream())

    ended = guest.receive(source / "bin" / "run", place / "to", iter((whole[:1024],)))

    error = push_failed(ended, target_of(str(place / "to")), "a")
    assert ended.exit_code != 0
    assert isinstance(error, CommandFailed)
    assert tree(place) == {}


def test_damaged_content_is_not_kept(guest: Guest, source: Path, place: Path) -> None:
    whole = b"".join(Packing(source / "bin" / "run").stream())
    damaged = whole.replace(b"#!/bin/sh", b"#!/bin/sH")

    ended = guest.receive(source / "bin" / "run", place / "run", iter((damaged,)))

    error = push_failed(ended, target_of(str(place / "run")), "a")
    assert error.message == (
        f"What arrived for {place}/run in guest a is damaged; nothing was kept."
    )
    assert tree(place) == {}


def test_part_of_another_boot_is_removed_and_that_of_this_boot_stays(
    guest: Guest, source: Path, place: Path
) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    for name, text in (("0" * 8, "another\n"), ("1" * 8, boot)):
        (place / f".run.{name}.part").mkdir()
        (place / f".run.{name}.part" / "boot").write_text(text)
    (place / ".run.22222222.part").write_text("of put")

    guest.receive(source / "bin" / "run", place / "run")

    assert sorted(tree(place)) == [
        ".run.11111111.part",
        ".run.11111111.part/boot",
        ".run.22222222.part",
        "run",
    ]


def test_full_file_system_is_named(guest: Guest, full: Path) -> None:
    big = full.parent / "big"
    big.write_bytes(bytes(4 * 1024 * 1024))

    ended = guest.receive(big, full / "big")

    error = push_failed(ended, target_of(str(full / "big")), "a")
    assert isinstance(error, NotEnoughSpace)
    assert tree(full) == {}


@pytest.mark.parametrize("is_folder", [False, True])
def test_large_content_is_verified_by_the_program_that_the_guest_has(
    guest: Guest, tmp_path: Path, place: Path, *, is_folder: bool
) -> None:
    source = tmp_path / "large"
    file = source / "file" if is_folder else source
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(os.urandom(1024 * 1024) * (LARGE_BYTES // 1024**2))
    damaged = bytearray(b"".join(Packing(source).stream()))
    damaged[LARGE_BYTES // 2] ^= 1

    good = guest.receive(source, place / "good")
    bad = guest.receive(source, place / "bad", iter((bytes(damaged),)))

    assert (good.exit_code, bad.exit_code) == (0, IS_DIFFERENT), good.stderr
    arrived = place / "good" / "file" if is_folder else place / "good"
    assert arrived.read_bytes() == file.read_bytes()
    assert not (place / "bad").exists()


def test_missing_right_is_named_with_what_to_do() -> None:
    ended = Completed(
        receive_command(
            target_of("/etc/x"), Conditions(), is_folder=False, size_bytes=1
        ),
        *(1, "", "mkdir: can't create directory '/etc/.x': Permission denied", 0.1),
    )

    error = push_failed(ended, target_of("/etc/x"), "a")

    assert error.message == "Could not write /etc/x in guest a: permission denied."
    assert "Choose root (sudo) or another user" in error.hint
