"""Golden images as files on a real disk, made by the real qemu-img.

They are copied whole into the store, never touched again, and refused when somebody
changed them. The order of the work is in test_golden.py, on simulated hosts.
"""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import Cancelled, ImageFailed
from orchestration.events import Event, Status, TaskProgressed
from orchestration.hosts import Host
from orchestration.instructions import golden as module
from orchestration.instructions.golden import prepare_goldens
from orchestration.instructions.storage.disks import made_from
from orchestration.instructions.task import Task
from orchestration.providers.images import qemu_img
from orchestration.providers.images.digests import read_stamp, stamp_name
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import GoldenState, HostKind, ScriptState
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of
from tests.tags import OWN_TAG


@pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img not installed")
class TestRealFiles:
    """A deep copy needs no guest: the store with real files."""

    def test_copy_is_made_once_whole_and_kept_from_changes(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)

        assert prepare_goldens(task).message == "copied"
        assert prepare_goldens(task).status is Status.UNCHANGED

        found = qemu_img.info(task.host.transport, str(image), scope=Scope())
        assert (found.format, found.backing) == ("qcow2", "")
        assert image.stat().st_mode & 0o777 == 0o444
        assert read_stamp(image) is not None
        files = {path.name for path in image.parent.iterdir()}
        lock = f".{image.name}.golden.lock"
        assert files == {image.name, f"{image.name}.verified", lock}

    def test_disk_on_which_a_guest_ran_is_flattened_without_rights(
        self,
        make_task: MakeTask,
        rehearsal: Rehearsal,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        below = tmp_path / "own.qcow2"
        task, disk = self.started(task, tmp_path, monkeypatch)
        create = ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2")
        subprocess.run([*create, "-b", below, disk], check=True)
        disk.chmod(0o600)

        assert prepare_goldens(task).message == "prepared"

        found = qemu_img.info(task.host.transport, str(image), scope=Scope())
        assert (found.format, found.backing) == ("qcow2", "")
        assert image.stat().st_mode & 0o777 == 0o444

    def test_disk_that_came_to_keep_its_data_elsewhere_is_refused(
        self,
        make_task: MakeTask,
        rehearsal: Rehearsal,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        task, disk = self.started(task, tmp_path, monkeypatch)
        kept = f"data_file={tmp_path / 'elsewhere'},data_file_raw=on"
        create = ("qemu-img", "create", "-q", "-f", "qcow2", "-o", kept, disk, "4M")
        subprocess.run(create, check=True)

        with pytest.raises(ImageFailed, match="keeps its data in another file"):
            prepare_goldens(task)

        assert not image.exists()

    def test_image_that_somebody_changed_is_refused(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        before = image.stat()
        image.chmod(0o644)
        with image.open("r+b") as file:
            file.write(b"x")
        # As long as before, in the same second.
        os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns ^ 1))

        with pytest.raises(ImageFailed, match="was changed after it was prepared"):
            prepare_goldens(task)

    def test_image_that_was_brought_back_is_used_when_it_is_the_same(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        stamp = read_stamp(image)
        shutil.copy(image, tmp_path / "backup")
        shutil.move(tmp_path / "backup", image)
        assert read_stamp(image) is None

        assert prepare_goldens(task).status is Status.UNCHANGED

        again = read_stamp(image)
        assert stamp is not None
        assert again is not None
        assert again.digest == stamp.digest
        assert image.stat().st_mode & 0o777 == 0o444

    @pytest.mark.parametrize("left", [None, ""])
    def test_image_whose_worker_died_before_the_stamp_is_ready(
        self,
        make_task: MakeTask,
        rehearsal: Rehearsal,
        tmp_path: Path,
        left: str | None,
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        stamp = read_stamp(image)
        Path(stamp_name(str(image))).unlink()
        if left is not None:
            Path(stamp_name(str(image))).write_text(left)

        assert prepare_goldens(task).status is Status.UNCHANGED

        assert read_stamp(image) == stamp

    def test_image_that_somebody_deleted_is_made_again(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        prepare_goldens(task)
        image.unlink()
        Path(stamp_name(str(image))).write_text("sha256:00 1 1\n")

        assert prepare_goldens(task).message == "copied"
        assert prepare_goldens(task).status is Status.UNCHANGED

    def test_disk_remembers_the_content_that_it_lies_over(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        clone = rehearsal.state.guest("node-0")
        here = clone.image.model_copy(update={"main_path": str(image)})
        clone = clone.model_copy(update={"image": here})
        assert made_from(task, clone) == here.identity

        prepare_goldens(task)

        stamp = read_stamp(image)
        assert stamp is not None
        assert made_from(task, clone) == f"{here.identity} {stamp.digest.value[:16]}"

    def test_cancelled_copy_leaves_no_file(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)
        task = replace(task, sink=lambda event: task.scope.cancel())

        with pytest.raises(Cancelled):
            prepare_goldens(task)

        names = [path.name for path in image.parent.iterdir()]
        assert names == [f".{image.name}.golden.lock"]

    def test_image_whose_digesting_is_cancelled_is_whole_and_ready(
        self, make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path
    ) -> None:
        task, image = self.task(make_task, rehearsal, tmp_path)

        def cancel(event: Event) -> None:
            if isinstance(event, TaskProgressed) and event.note == "verify":
                task.scope.cancel()

        with pytest.raises(Cancelled):
            prepare_goldens(replace(task, sink=cancel))

        again = replace(task, scope=Scope("demo.r2.b1.t1"))
        assert prepare_goldens(again).status is Status.UNCHANGED
        assert read_stamp(image) is not None
        qemu_img.check(task.host.transport, str(image), scope=Scope())

    def started(
        self, task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Task, Path]:
        """Let the shared script have run; the test makes the disk that it left."""
        (golden,) = task.state.goldens
        disk, script = folder / "working.qcow2", ScriptState(path="shared.sh")
        update = {"disk": str(disk), "setup_script": script}
        guest = golden.guest.model_copy(update=update)
        mine = golden.model_copy(update={"guest": guest})
        monkeypatch.setattr(module, "_run_shared_script", lambda *_: False)
        monkeypatch.setattr(module, "_discard", lambda *_: None)
        state = task.state.model_copy(update={"goldens": (mine,)})
        return replace(task, state=state), disk

    def task(
        self, make_task: MakeTask, rehearsal: Rehearsal, folder: Path
    ) -> tuple[Task, Path]:
        original, store = folder / "own.qcow2", folder / "store"
        store.mkdir()
        create = command("qemu-img", "create", "-q", "-f", "qcow2", str(original), "4M")
        LocalTransport().run(create, scope=Scope())
        node = scaled("node", ["br0"])
        assert isinstance(node, dict)
        disk = {"path": "own.qcow2", "create_deep_copy": True}
        node["libvirt"]["libvirt_type"] = {"existing_disk": disk}
        rehearsal.build(spec_of(node), files={"own.qcow2": DiskFile(str(original))})
        state = rehearsal.state
        (found,) = state.goldens
        image = store / Path(found.image.path).name
        base = found.guest.image.model_copy(update={"path": str(original)})
        mine = found.model_copy(
            update={
                "guest": found.guest.model_copy(update={"image": base}),
                "image": found.image.model_copy(update={"path": str(image)}),
            }
        )
        assert isinstance(mine, GoldenState)
        task = make_task("node")
        real = task.host.state.model_copy(update={"kind": HostKind.REAL})
        return replace(
            task,
            state=state.model_copy(update={"goldens": (mine,)}),
            host=Host(real, LocalTransport(), task.host.libvirt),
            scope=Scope(OWN_TAG),
        ), image
