"""Clones' disks that are written as one overlay's bytes, with the real qemu-img."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.hosts import Host
from orchestration.instructions.base import Task
from orchestration.instructions.disks import ensure_disk
from orchestration.instructions.templates import WORTH_IT, template_for
from orchestration.providers import qemu_img
from orchestration.state.model import GuestState, HostKind
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
Clones = Callable[..., list[tuple[Task, GuestState]]]


class Counting(LocalTransport):
    """This machine; it remembers how often qemu-img made something."""

    made = 0

    def run(self, cmd: Command, **options: object) -> Completed:
        self.made += cmd.argv[:2] == ("qemu-img", "create")
        return super().run(cmd, **options)


@pytest.fixture
def here() -> Counting:
    return Counting()


@pytest.fixture
def clones(
    make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path, here: Counting
) -> Clones:
    """Give clones whose golden image is really here, each with its task."""
    golden = tmp_path / "golden.qcow2"
    words = ("qemu-img", "create", "-q", "-f", "qcow2", str(golden), "8M")
    LocalTransport().run(command(*words), scope=Scope())

    def make(count: int, *, peers: int) -> list[tuple[Task, GuestState]]:
        rehearsal.build(
            spec_of(scaled("node", *[["br0"]] * count, shared_setup="shared.sh"))
        )
        return [real(guest, peers) for guest in rehearsal.state.guests]

    def real(guest: GuestState, peers: int) -> tuple[Task, GuestState]:
        task = make_task(guest.name, peers=peers)
        state = task.host.state.model_copy(update={"kind": HostKind.REAL})
        host = Host(state, here, task.host.libvirt)
        image = guest.image.model_copy(update={"path": str(golden)})
        places = {"disk": str(tmp_path / f"{guest.name}.qcow2"), "image": image}
        places |= {"artefacts_dir": str(tmp_path)}
        scoped = replace(task, host=host, scope=Scope("demo.r1.b1.t1"))
        return scoped, guest.model_copy(update=places)

    return make


def test_many_clones_are_one_overlay_written_many_times(
    clones: Clones, here: Counting, tmp_path: Path
) -> None:
    found = clones(6, peers=6)

    made = [ensure_disk(task, guest) for task, guest in found]

    assert made == [True] * 6
    assert here.made == 1
    contents = {Path(guest.disk).read_bytes() for _, guest in found}
    assert len(contents) == 1
    facts = qemu_img.info(here, found[5][1].disk, scope=Scope())
    assert facts.backing == str(tmp_path / "golden.qcow2")
    assert facts.virtual_size_bytes == 8 * 1024**2
    assert list(tmp_path.glob(".template-*")) == []
    assert [ensure_disk(task, guest) for task, guest in found] == [False] * 6


def test_few_clones_are_made_by_qemu_img(clones: Clones, here: Counting) -> None:
    found = clones(2, peers=WORTH_IT - 1)

    assert all(ensure_disk(task, guest) for task, guest in found)

    assert here.made == 2


def test_only_golden_images_names_are_trusted(clones: Clones) -> None:
    ((task, guest),) = clones(1, peers=WORTH_IT)
    plain = guest.model_copy(
        update={"image": guest.image.model_copy(update={"golden": ""})}
    )

    assert template_for(task, plain, "qcow2") == b""
    assert template_for(task, guest, "qcow2").startswith(b"QFI\xfb")
