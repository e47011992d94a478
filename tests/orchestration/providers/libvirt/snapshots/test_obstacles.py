"""The obstacles that are named before anything happens to a guest."""

from dataclasses import replace

import pytest

from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.snapshots import obstacles
from orchestration.providers.libvirt.snapshots.text import Label, Snapshot
from orchestration.providers.libvirt.snapshots.verbs import Situation

DISK = "/lab/a.qcow2"
BASE = Snapshot(
    name="base",
    description="",
    label=Label("ann", "Base"),
    parent="",
    status="running",
    has_memory=True,
    is_external=False,
    created_at=1,
    disks=(DISK,),
    networks=("t7b0",),
)
GOOD = Situation(DomainStatus.RUNNING, ((DISK, "qcow2"),), (BASE,))
EXTERNAL = replace(BASE, name="theirs", label=Label(), is_external=True)
OVERLAY = "/lab/a.overlay"
MIXED = replace(GOOD, snapshots=(BASE, EXTERNAL))
MOVED = replace(GOOD, disks=((OVERLAY, "qcow2"),))


def to_create(found: Situation, name: str = "new", stored: tuple[str, ...] = ()) -> str:
    obstacle = obstacles.to_create(found, DISK, name, stored)
    return obstacle.problem if obstacle else ""


def to_restore(found: Situation, snapshot: Snapshot = BASE, **given: object) -> str:
    known = {"networks": {"t7b0"}, "stored": {"base"}} | given
    obstacle = obstacles.to_restore(found, DISK, snapshot, **known)
    return obstacle.problem if obstacle else ""


def test_plain_guest_has_none() -> None:
    assert to_create(GOOD) == ""
    assert to_restore(GOOD) == ""
    assert obstacles.to_all(GOOD, DISK) is None


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (MIXED, "has external snapshots of another program: theirs"),
        (MOVED, f"writes to {OVERLAY}, which is not its disk of the testbed"),
    ],
)
def test_kinds_are_not_mixed(found: Situation, problem: str) -> None:
    assert to_create(found) == problem
    assert to_restore(found) == problem
    assert obstacles.to_all(found, DISK).problem == problem


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (replace(GOOD, status=DomainStatus.CRASHED), "is crashed"),
        (replace(GOOD, disks=()), "has no disk that it can write to"),
        (replace(GOOD, disks=((DISK, "raw"),)), "has a disk that is not qcow2: "),
        (replace(GOOD, has_pflash=True), "has UEFI firmware whose variables"),
        (replace(GOOD, foreign=("a shared folder",)), "has a shared folder, with"),
    ],
)
def test_machine_that_cannot_be_stored_is_refused(
    found: Situation, problem: str
) -> None:
    assert to_create(found).startswith(problem)


def test_foreign_device_keeps_the_memory_away_and_not_the_disk() -> None:
    off = replace(GOOD, status=DomainStatus.SHUT_OFF, foreign=("a shared folder",))

    assert to_create(off) == ""


@pytest.mark.parametrize("name", ["base", "Base"])
def test_name_and_title_are_taken(name: str) -> None:
    assert to_create(GOOD, name) == f"has a snapshot {name} already"


def test_name_of_unknown_data_in_the_disk_is_not_overwritten() -> None:
    problem = to_create(GOOD, "lost", ("lost",))

    assert problem == (
        "has data of a snapshot lost in its disk that libvirt does not know"
    )


def test_snapshot_whose_data_or_disks_are_gone_is_not_restored() -> None:
    assert to_restore(GOOD, stored=()) == "has no data of Base in its disk"
    assert to_restore(GOOD, stored=None) == ""
    other = replace(BASE, disks=("/lab/other",))
    assert to_restore(GOOD, other) == "had other disks when Base was taken"


def test_snapshot_on_a_network_that_is_gone_is_not_restored() -> None:
    assert to_restore(GOOD, networks=()) == (
        "was connected to t7b0 when Base was taken, which is gone"
    )
    off = replace(BASE, status="shut off")
    assert to_restore(GOOD, off, networks=()) == ""


@pytest.mark.parametrize(
    ("cpus", "memory_mib", "is_refused"),
    [(2, 1024, False), (4, 4096, False), (1, 1024, True), (2, 1023, True)],
)
def test_guest_does_not_grow_by_a_snapshot(
    cpus: int, memory_mib: int, is_refused: bool
) -> None:
    large = replace(BASE, cpus=2, memory_mib=1024)

    obstacle = obstacles.to_grow(large, cpus=cpus, memory_mib=memory_mib)

    assert (obstacle is not None) == is_refused
    if obstacle is not None:
        assert obstacle.problem == (
            "had 2 vCPUs and 1 GiB of memory when Base was taken, which is more than "
            "it has now"
        )


def test_all_below_a_snapshot_are_its_children_and_theirs() -> None:
    tree = {"a": "", "b": "a", "c": "b", "d": "a", "e": ""}
    found = tuple(replace(BASE, name=n, parent=p) for n, p in tree.items())

    below = Situation(DomainStatus.RUNNING, (), found).below("a")

    assert {one.name for one in below} == {"b", "c", "d"}


def test_chain_longer_than_pythons_stack_has_all_below() -> None:
    names = [f"s{i}" for i in range(3000)]
    chain = [
        replace(BASE, name=name, parent=names[i - 1] if i else "")
        for i, name in enumerate(names)
    ]
    chain.append(replace(BASE, name="side"))

    below = replace(GOOD, snapshots=tuple(chain)).below("s0")

    assert [one.name for one in below] == names[1:]
