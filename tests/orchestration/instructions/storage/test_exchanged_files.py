"""A user who exchanges a disk while it is used reads no other file of the host.

The user's file is exchanged before each command of root: for one that names another
file, and back. Real qemu-img, real files.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.hosts import Host
from orchestration.instructions.storage import images
from orchestration.instructions.storage.disks import ensure_disk
from orchestration.instructions.task import Task
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import GuestState, HostKind
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import spec_of
from tests.orchestration.state.test_disk_bases import existing
from tests.tags import OWN_TAG

pytestmark = [
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
SECRET = b"root:$6$salt$hash of the only root:20000:0:99999:7:::\n"
TRIES = 200


class ExchangingTransport(LocalTransport):
    """This machine, on which a user exchanges a file before each command."""

    def __init__(self, files: Iterator[bytes], path: Path) -> None:
        super().__init__("host-a")
        self._files, self._path = files, path

    def run(self, cmd: Command, **options: object) -> Completed:
        exchange(self._path, next(self._files))
        return super().run(cmd, **options)


def exchange(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(content)
    beside.replace(path)


@pytest.mark.parametrize("copied", [True, False], ids=["copied", "linked"])
@pytest.mark.parametrize("refers", ["backing", "data file"])
def test_file_exchanged_between_look_and_use_leaks_nothing(
    tmp_path: Path, make_task: MakeTask, rehearsal: Rehearsal, copied: bool, refers: str
) -> None:
    secret, own = tmp_path / "shadow", tmp_path / "files" / "own.img"
    secret.write_bytes(SECRET.ljust(65536, b"#"))
    own.parent.mkdir()
    images_of_both = (made(own), made(own, *other_file(refers, secret)))
    rehearsal.build(
        spec_of(existing("a", "br0", create_deep_copy=copied), bridges=("br0",)),
        files={"disks/own.img": DiskFile(str(own))},
    )

    outcomes = set()
    for number in range(TRIES // 4):
        turns = cycle(images_of_both[:: -1 if number & 1 else 1])
        exchange(own, next(turns))
        task, guest = real(make_task("./disks/own.img"), tmp_path / str(number))
        host = replace(task.host, transport=ExchangingTransport(turns, own))
        outcomes.add(tried(replace(task, host=host), guest))

    assert outcomes == {"made without the secret", "is not whole"}


def tried(task: Task, guest: GuestState) -> str:
    """Take the file and make the disk of it; return what came of it."""
    try:
        images.fetch_images(task)
        ensure_disk(task, guest)
    except ImageFailed as refused:
        return "is not whole" if "is not whole" in refused.message else str(refused)
    flat = Path(f"{guest.disk}.flat")
    qemu_img("convert", "-f", "qcow2", "-O", "raw", guest.disk, str(flat))
    is_leaked = any(SECRET in path.read_bytes() for path in (flat, Path(guest.disk)))
    return "LEAKED" if is_leaked else "made without the secret"


def other_file(refers: str, secret: Path) -> tuple[str, ...]:
    """The options of an image whose content is the secret's."""
    if refers == "backing":
        return ("-u", "-F", "raw", "-b", str(secret))
    return ("-o", f"data_file={secret},data_file_raw=on")


def made(path: Path, *words: str) -> bytes:
    """Make an image and return its bytes; a data file keeps its content."""
    shadow = path.parents[1] / "shadow"
    content = shadow.read_bytes()
    qemu_img("create", "-q", "-f", "qcow2", *words, str(path), "64k")
    shadow.write_bytes(content)
    return path.read_bytes()


def qemu_img(*words: str) -> None:
    LocalTransport().run(command("qemu-img", *words), scope=Scope())


def real(task: Task, folder: Path) -> tuple[Task, GuestState]:
    """The same task on this machine, with folders of its own."""
    folder.mkdir()
    guest = task.state.guest("a")
    copy = str(folder / "own-0123456789abcdef.img")
    image = guest.image.model_copy(
        update={"path": copy, "main_path": copy, "stamp": ""}
    )
    changes = {"image": image, "disk": str(folder / "disk.qcow2")}
    guest = guest.model_copy(update=changes)
    state = task.host.state.model_copy(
        update={"kind": HostKind.REAL, "images_dir": str(folder)}
    )
    whole = task.state.model_copy(update={"guests": (guest,)})
    host = Host(state, LocalTransport(), task.host.libvirt)
    return replace(task, state=whole, host=host, scope=Scope(OWN_TAG)), guest
