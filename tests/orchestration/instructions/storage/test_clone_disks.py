"""Clones' disks that are made together, with the real qemu-img."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.storage.clone_disks import create_clone_disks
from orchestration.instructions.storage.disks import create_clones
from orchestration.instructions.task import Task
from orchestration.plan.model import Options, Resource
from orchestration.providers.images import qemu_img
from orchestration.state.model import GuestState, HostKind, Markers
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.providers.images.edited_script import Edit
from tests.orchestration.state.samples import scaled, spec_of
from tests.tags import OWN_TAG

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
MakeClones = Callable[[int], Task]


class Counting(LocalTransport):
    """This machine; it remembers how often it was asked for anything.

    `edit` changes the program that makes the disks.
    """

    asked = 0
    edit: Edit | None = None

    def run(self, cmd: Command, **options: object) -> Completed:
        self.asked += 1
        return super().run(self.edit.of(cmd) if self.edit else cmd, **options)


@pytest.fixture
def here() -> Counting:
    return Counting()


@pytest.fixture
def clones(
    make_task: MakeTask, rehearsal: Rehearsal, tmp_path: Path, here: Counting
) -> MakeClones:
    """Give the task of a host with clones, whose golden image is really there."""
    golden = tmp_path / "golden.qcow2"
    words = ("qemu-img", "create", "-q", "-f", "qcow2", str(golden), "8M")
    LocalTransport().run(command(*words), scope=Scope())

    def make(count: int) -> Task:
        rehearsal.build(
            spec_of(scaled("node", *[["br0"]] * count, shared_setup="shared.sh"))
        )
        guests = tuple(placed(guest) for guest in rehearsal.state.guests)
        rehearsal.project.write_state(
            rehearsal.state.model_copy(update={"guests": guests})
        )
        task = make_task("host-a")
        host = task.host.state.model_copy(update={"kind": HostKind.REAL})
        state = rehearsal.project.read_state()
        here_host = Host(host, here, task.host.libvirt)
        scope = Scope(OWN_TAG)
        return replace(task, state=state, host=here_host, scope=scope)

    def placed(guest: GuestState) -> GuestState:
        image = guest.image.model_copy(update={"path": str(golden)})
        disk = str(tmp_path / f"{guest.name}.qcow2")
        places = {"disk": disk, "artefacts_dir": str(tmp_path), "image": image}
        return guest.model_copy(update=places)

    return make


def again(task: Task, **options: object) -> Task:
    """Return the task with the marks as they are now."""
    state = task.project.read_state()
    return replace(task, state=state, options=Options(**options))  # type: ignore[arg-type]


def reported(task: Task) -> dict[str, Status]:
    """Return what the clones' own tasks report after the host's."""
    found = {}
    for guest in again(task).state.guests:
        resource = Resource(guest.name, guest.host, guest.name)
        one = replace(again(task), resource=resource)
        found[guest.name] = create_clones(one).status
    return found


def disks(task: Task) -> list[Path]:
    """Return where the clones' disks are."""
    return [Path(guest.disk) for guest in task.state.guests]


def test_clones_of_a_host_are_made_by_one_command(
    clones: MakeClones, here: Counting, tmp_path: Path
) -> None:
    task = clones(6)

    outcome = create_clone_disks(task)

    assert (outcome.status, outcome.message) == (Status.DONE, "6 disks")
    assert here.asked == 1
    assert len({disk.read_bytes() for disk in disks(task)}) == 1
    facts = qemu_img.info(here, str(disks(task)[5]), scope=Scope())
    assert facts.backing == str(tmp_path / "golden.qcow2")
    assert facts.virtual_size_bytes == 8 * 1024**2
    assert list(tmp_path.glob("**/*.part")) == []
    assert create_clone_disks(again(task)).status is Status.UNCHANGED


def test_each_clone_reports_its_disk_without_a_command(
    clones: MakeClones, here: Counting
) -> None:
    task = clones(3)
    create_clone_disks(task)
    asked = here.asked

    assert set(reported(task).values()) == {Status.DONE}
    assert set(reported(task).values()) == {Status.UNCHANGED}
    assert here.asked == asked


def test_disk_that_is_there_is_left_alone_and_reported_as_unchanged(
    clones: MakeClones,
) -> None:
    task = clones(5)
    disks(task)[3].write_bytes(b"a guest's data")
    guest = task.state.guests[3]
    task.project.mark(guest.name, disk=guest.image.identity)

    create_clone_disks(again(task))

    assert disks(task)[3].read_bytes() == b"a guest's data"
    statuses = [*reported(task).values()]
    assert statuses.pop(3) is Status.UNCHANGED
    assert statuses == [Status.DONE] * 4


def test_disk_that_was_lost_is_made_without_the_marks_of_the_old_one(
    clones: MakeClones,
) -> None:
    task = clones(2)
    create_clone_disks(task)
    reported(task)
    lost = task.state.guests[0]
    task.project.mark(lost.name, script="abc", script_exit_code=0)
    Path(lost.disk).unlink()

    create_clone_disks(again(task))

    assert again(task).state.guests[0].markers == Markers()
    assert list(reported(task).values()) == [Status.DONE, Status.UNCHANGED]


def test_disk_made_before_a_failure_is_reported_as_made(
    clones: MakeClones, here: Counting
) -> None:
    task = clones(5)
    move = 'mv -f -t "$folder" -- "$@"'
    here.edit = Edit(move, 'mv -f -t "$folder" -- "$1"; false')
    with pytest.raises(ImageFailed, match="could not be made"):
        create_clone_disks(task)
    here.edit = None
    assert [disk.exists() for disk in disks(task)] == [True, *[False] * 4]

    outcome = create_clone_disks(again(task))

    assert outcome.message == "4 disks"
    assert set(reported(task).values()) == {Status.DONE}


def test_clones_that_are_made_anew_lose_their_disks_first(
    clones: MakeClones,
) -> None:
    task = clones(4)
    for guest in task.state.guests:
        Path(guest.disk).write_bytes(b"an old disk")
        task.project.mark(guest.name, disk=guest.image.identity, script="abc")

    outcome = create_clone_disks(again(task, provision=True))

    assert outcome.message == "4 disks"
    assert b"an old disk" not in {disk.read_bytes() for disk in disks(task)}
    assert {guest.markers for guest in again(task).state.guests} == {Markers()}


def test_only_the_clone_that_is_asked_for_is_made_anew(clones: MakeClones) -> None:
    task = clones(3)
    for guest in task.state.guests:
        Path(guest.disk).write_bytes(b"an old disk")
        task.project.mark(guest.name, disk=guest.image.identity, script="abc")
    chosen = task.state.guests[1].name

    outcome = create_clone_disks(again(task, provision=True, guests=(chosen,)))

    assert outcome.message == "1 disk"
    old = [disk.read_bytes() == b"an old disk" for disk in disks(task)]
    assert old == [True, False, True]
    marked = [g.name for g in again(task).state.guests if g.markers == Markers()]
    assert marked == [chosen]


def test_clones_of_an_image_without_a_shared_script_are_left_to_their_tasks(
    clones: MakeClones, here: Counting
) -> None:
    task = clones(2)
    image = task.state.guests[0].image.model_copy(update={"golden": ""})
    plain = tuple(g.model_copy(update={"image": image}) for g in task.state.guests)
    task = replace(task, state=task.state.model_copy(update={"guests": plain}))

    assert create_clone_disks(task).status is Status.UNCHANGED
    assert here.asked == 0
