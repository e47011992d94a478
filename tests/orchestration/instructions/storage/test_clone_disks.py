"""Clones' disks that are made together, with the real qemu-img."""

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import ImageFailed
from orchestration.hosts import Host
from orchestration.instructions.storage import clone_disks
from orchestration.instructions.storage.clone_disks import WORTH_IT, make_together
from orchestration.instructions.storage.disks import ensure_disk
from orchestration.instructions.task import Task
from orchestration.plan.model import Options
from orchestration.providers.images import qemu_img
from orchestration.state.model import GuestState, HostKind, State
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.providers.images.edited_script import Edit
from tests.orchestration.state.samples import scaled, spec_of
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
Clones = Callable[..., list[tuple[Task, GuestState]]]


class Counting(LocalTransport):
    """This machine; it remembers how often qemu-img made something.

    `edit` changes the program that makes many disks together.
    """

    made = 0
    together = 0
    edit: Edit | None = None

    def __init__(self) -> None:
        super().__init__()
        self.hold = threading.Event()
        self.hold.set()

    def run(self, cmd: Command, **options: object) -> Completed:
        self.made += cmd.argv[:2] == ("qemu-img", "create")
        if cmd.argv[:2] == ("sh", "-c"):
            self.together += 1
            assert self.hold.wait(60)
        return super().run(self.edit.of(cmd) if self.edit else cmd, **options)


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
        guests = tuple(placed(guest) for guest in rehearsal.state.guests)
        state = rehearsal.state.model_copy(update={"guests": guests})
        return [(real(guest, state, peers), guest) for guest in guests]

    def placed(guest: GuestState) -> GuestState:
        image = guest.image.model_copy(update={"path": str(golden)})
        disk = str(tmp_path / f"{guest.name}.qcow2")
        places = {"disk": disk, "artefacts_dir": str(tmp_path), "image": image}
        return guest.model_copy(update=places)

    def real(guest: GuestState, state: State, peers: int) -> Task:
        task = make_task(guest.name, peers=peers)
        here_state = task.host.state.model_copy(update={"kind": HostKind.REAL})
        host = Host(here_state, here, task.host.libvirt)
        scope = Scope(f"{tmp_path.name}.r1.b1.t{guest.index}")
        return replace(task, state=state, host=host, scope=scope)

    return make


def test_clones_of_a_host_are_made_by_the_first_ones_task(
    clones: Clones, here: Counting, tmp_path: Path
) -> None:
    found = clones(6, peers=6)

    made = [ensure_disk(task, guest) for task, guest in found]

    assert made == [True] * 6
    assert (here.together, here.made) == (1, 0)
    contents = {Path(guest.disk).read_bytes() for _, guest in found}
    assert len(contents) == 1
    facts = qemu_img.info(here, found[5][1].disk, scope=Scope())
    assert facts.backing == str(tmp_path / "golden.qcow2")
    assert facts.virtual_size_bytes == 8 * 1024**2
    assert list(tmp_path.glob("**/*.part")) == []
    assert [ensure_disk(task, guest) for task, guest in found] == [False] * 6
    assert here.together == 2


def test_disk_that_is_there_is_left_alone_and_said_to_be_there(
    clones: Clones, tmp_path: Path
) -> None:
    found = clones(5, peers=5)
    Path(found[3][1].disk).write_bytes(b"a guest's data")

    made = [ensure_disk(task, guest) for task, guest in found]

    assert made == [True, True, True, False, True]
    assert Path(found[3][1].disk).read_bytes() == b"a guest's data"


def test_disk_made_before_a_failure_is_reported_as_made(
    clones: Clones, here: Counting
) -> None:
    found = clones(5, peers=5)
    move = 'mv -f -t "$folder" -- "$@"'
    here.edit = Edit(move, 'mv -f -t "$folder" -- "$1"; false')
    with pytest.raises(ImageFailed, match="could not be made"):
        ensure_disk(*found[0])
    here.edit = None
    assert [Path(guest.disk).exists() for _, guest in found] == [True, *[False] * 4]

    made = [ensure_disk(task, guest) for task, guest in found]

    assert made == [True] * 5


def test_clones_that_are_made_anew_are_made_as_they_wait(
    clones: Clones, here: Counting
) -> None:
    found = clones(WORTH_IT, peers=WORTH_IT)
    for task, guest in found:
        task.options = Options(provision=True)
        Path(guest.disk).write_bytes(b"an old disk")
    awaited = clone_disks._together(*_place(found[0])).awaited

    def anew(number: int) -> bool:
        task, guest = found[number]
        Path(guest.disk).unlink()
        return ensure_disk(task, guest)

    with ThreadPoolExecutor(WORTH_IT) as pool:
        here.hold.clear()
        first = pool.submit(anew, 0)
        wait_until(lambda: here.together == 1)
        others = [pool.submit(anew, number) for number in (1, 2)]
        wait_until(lambda: len(awaited) == 3)
        here.hold.set()

    assert [first.result(), *(other.result() for other in others)] == [True] * 3
    assert (here.together, here.made) == (2, 0)
    disks = [Path(guest.disk).read_bytes() for _, guest in found]
    assert disks[0] == disks[1] == disks[2]
    assert disks[3] == b"an old disk"
    assert anew(3)
    assert Path(found[3][1].disk).read_bytes() == disks[0]


def _place(found: tuple[Task, GuestState]) -> tuple[Task, str]:
    return found[0], found[1].image.path


def test_few_clones_are_made_by_qemu_img(clones: Clones, here: Counting) -> None:
    found = clones(2, peers=WORTH_IT - 1)

    assert all(ensure_disk(task, guest) for task, guest in found)

    assert (here.together, here.made) == (0, 2)


def test_only_golden_images_names_are_trusted(clones: Clones) -> None:
    task, guest = clones(WORTH_IT, peers=WORTH_IT)[0]
    plain = guest.model_copy(
        update={"image": guest.image.model_copy(update={"golden": ""})}
    )

    assert make_together(task, plain, "qcow2") is None
    assert make_together(task, guest, "qcow2") is True
