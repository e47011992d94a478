"""A guest's disk becomes an image: whole, alone, or not at all. Real qemu-img."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import Cancelled, ImageFailed, NotEnoughSpace
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.storage import saving
from orchestration.instructions.task import Task
from orchestration.plan.images import ImageWish
from orchestration.providers.images import qemu_img
from orchestration.providers.images.digests import read_stamp
from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState, HostKind
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.tags import OWN_TAG

pytestmark = [
    pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img not installed"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
FILE, BASE_FILE = "own-0123456789abcdef.qcow2", "base.qcow2"
BASE, OVER = b"of the base\n", b"of the guest\n"
Before = Callable[[Command], Completed | None]


class Watched(LocalTransport):
    """This machine; something happens before a command, or in its place."""

    def __init__(self, name: str, before: Before = lambda _: None) -> None:
        super().__init__(name)
        self.before = before

    def run(self, cmd: Command, **options: object) -> Completed:
        return self.before(cmd) or super().run(cmd, **options)


def here(*words: str) -> None:
    LocalTransport().run(command(*words), scope=Scope())


@pytest.fixture(name="saved")
def _saved(rehearsal: Rehearsal, make_task: MakeTask, tmp_path: Path) -> Callable:
    """Make a task for guest `a` on main or `b` on another host, with a real disk."""
    rehearsal.up()

    def make(
        name: str, before: Before = lambda _: None, *, is_defined: bool = False
    ) -> Task:
        guest, folder = rehearsal.state.guest(name), tmp_path / "real" / name
        images = tmp_path / f"images of {guest.host}"
        disk, base = folder / f"{name}-disk.qcow2", images / BASE_FILE
        folder.mkdir(parents=True)
        images.mkdir()
        raw = tmp_path / "raw"
        raw.write_bytes(BASE.ljust(1 << 20, b"\0"))
        here("qemu-img", "convert", "-q", "-Oqcow2", str(raw), str(base))
        words = ("-fqcow2", "-Fqcow2", "-b", str(base), str(disk))
        here("qemu-img", "create", "-q", *words)
        write = "write -q -P 0x55 512k 64k"
        here("qemu-io", "-fqcow2", "-c", write, str(disk))
        raw.unlink()
        disk.chmod(0o600)
        task = make_task(name, host=guest.host)
        hosts = tuple(
            host.model_copy(
                update={
                    "images_dir": str(tmp_path / f"images of {host.name}"),
                    "kind": HostKind.REAL,
                }
            )
            for host in task.state.hosts
        )
        changed = guest.model_copy(update={"disk": str(disk)})
        others = tuple(g for g in task.state.guests if g.name != name)
        update = {"hosts": hosts, "guests": (changed, *others)}
        state = task.state.model_copy(update=update)
        host = Host(
            state.host(guest.host), Watched(guest.host, before), task.host.libvirt
        )
        if not is_defined:
            domains.destroy(task.host.libvirt, task.domain(changed))
            domains.undefine(task.host.libvirt, task.domain(changed))
        return replace(
            task,
            state=state,
            host=host,
            image=ImageWish({name: FILE}),
            scope=Scope(OWN_TAG),
        )

    return make


def files_of(task: Task) -> set[str]:
    """Return the names of all files but the base in the image folders of all hosts."""
    folders = [Path(host.images_dir) for host in task.state.hosts]
    found = {path.name for one in folders if one.is_dir() for path in one.iterdir()}
    return found - {BASE_FILE}


@pytest.mark.parametrize("name", ["a", "b"], ids=["on main", "on another host"])
def test_disk_with_all_below_it_becomes_one_image_on_main(
    saved: Callable[..., Task], name: str, tmp_path: Path
) -> None:
    task = saved(name)
    target = Path(task.state.main.images_dir, FILE)

    outcome = saving.save_images(task)

    assert outcome.status is Status.DONE
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert f"sha256 {digest}" in outcome.message
    assert read_stamp(target).digest.value == digest
    assert files_of(task) == {FILE, f"{FILE}.verified"}
    found = qemu_img.info(LocalTransport(), str(target), scope=Scope())
    assert (found.format, found.backing, found.data_file) == ("qcow2", "", "")
    flat = tmp_path / "flat"
    here("qemu-img", "convert", "-Oraw", str(target), str(flat))
    content = flat.read_bytes()
    assert content.startswith(BASE)
    assert content[512 << 10 : 576 << 10] == b"\x55" * (64 << 10)


@pytest.mark.parametrize("name", ["a", "b"])
@pytest.mark.parametrize("at", ["qemu-img convert", "chown", "mv -f"])
def test_cancel_leaves_no_file(saved: Callable[..., Task], name: str, at: str) -> None:
    def cancel(cmd: Command) -> None:
        if all(word in str(cmd) for word in at.split()):
            task.scope.cancel()

    task = saved(name, cancel)
    disk = Path(task.state.guest(name).disk)
    before = disk.read_bytes()

    with pytest.raises(Cancelled):
        saving.save_images(task)

    assert files_of(task) == set()
    assert disk.read_bytes() == before


def test_damaged_arrival_is_not_an_image(
    saved: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = saved("b")
    whole = saving._fetch

    def damaged(task: Task, guest: GuestState, there: str, part: Path) -> None:
        whole(task, guest, there, part)
        with part.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(saving, "_fetch", damaged)

    with pytest.raises(ImageFailed, match="arrived damaged"):
        saving.save_images(task)

    assert files_of(task) == set()


def test_size_that_is_no_number_is_said_and_leaves_no_image(
    saved: Callable[..., Task],
) -> None:
    def odd(cmd: Command) -> Completed | None:
        if cmd.argv[:3] != ("stat", "-c", "%s"):
            return None
        return Completed(cmd, 0, "one GiB\n", "", seconds=0.0)

    task = saved("b", odd)

    with pytest.raises(ImageFailed, match="unknown size: stat said 'one GiB"):
        saving.save_images(task)

    assert files_of(task) == set()


def test_full_host_is_named_before_anything_is_written(
    saved: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = saved("a")
    monkeypatch.setattr(saving, "free_bytes", lambda *_, **more: 1 << 20)

    with pytest.raises(NotEnoughSpace, match="no room for the image of a"):
        saving.save_images(task)

    assert files_of(task) == set()


def test_guest_that_runs_is_not_saved(saved: Callable[..., Task]) -> None:
    task = saved("a", is_defined=True)

    with pytest.raises(ImageFailed, match="an image is saved of a guest that is off"):
        saving.save_images(task)

    assert files_of(task) == set()


def test_disk_that_is_another_programs_is_refused(saved: Callable[..., Task]) -> None:
    task = saved("a", is_defined=True)
    domains.destroy(task.host.libvirt, task.domain(task.state.guest("a")))

    with pytest.raises(ImageFailed, match="which is not its disk of the testbed"):
        saving.save_images(task)


def test_disk_over_two_others_is_refused(
    saved: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = saved("a")
    two = (Layer("/one", "qcow2"), Layer("/two", "qcow2"))
    monkeypatch.setattr(saving, "layers_below", lambda *_: two)

    with pytest.raises(ImageFailed, match="lies over /one over /two"):
        saving.save_images(task)


def test_disk_over_another_file_of_the_host_is_refused(
    saved: Callable[..., Task], tmp_path: Path
) -> None:
    task, secret = saved("a"), tmp_path / "secret"
    secret.write_bytes(b"of root alone".ljust(1 << 20, b"\0"))
    secret.chmod(0o600)
    disk = task.state.guest("a").disk
    here("qemu-img", "rebase", "-u", "-fqcow2", "-Fraw", "-b", str(secret), disk)

    with pytest.raises(ImageFailed, match="secret, which is not in"):
        saving.save_images(task)

    assert files_of(task) == set()


def test_rehearsal_saves_nothing(rehearsal: Rehearsal, make_task: MakeTask) -> None:
    rehearsal.up()
    task = replace(make_task("a"), image=ImageWish({"a": FILE}))

    outcome = saving.save_images(task)

    assert outcome.status is Status.UNCHANGED
    assert files_of(task) == set()
