"""Which testbeds' files are swept: only what is idle, readable and nobody's."""

from dataclasses import replace
from datetime import datetime

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.hosts import Host
from orchestration.plan.model import Command, Options
from orchestration.transport.base import Scope
from testbed.images import pruning as images_task
from testbed.images import stale_files
from testbed.images.stale_files import (
    remove_deleted,
    remove_files_of,
    sweep_files_of,
    sweep_images_of,
)
from testbed.models import Run, SavedImage, Testbed
from tests.orchestration.stores import BASE, GOLDEN, OWN
from tests.testbed.conftest import YAML
from tests.testbed.images.image_hosts import Machines
from tests.testbed.preparing import prepare

GONE = "../projects/lab/artefacts/gone-seed.iso"
MINE = "../projects/lab/artefacts/web-seed.iso"


@pytest.fixture
def lab(machines: Machines, owner: User) -> Testbed:
    """A generated testbed; each host has a file of its guest, and a stale one."""
    found = Testbed.objects.create(owner=owner, slug="lab", number=7)
    found.project.create()
    found.project.yaml.write_text(YAML)
    prepare(found, Command.GENERATE_ARTEFACTS, Options())
    for folder in (machines.main, machines.other):
        folder.put(GONE)
        folder.put(MINE)
    return found


def left(machines: Machines) -> list[bool]:
    """Say for each host whether the stale file is there."""
    folders = (machines.main, machines.other)
    assert all((folder.images / MINE).exists() for folder in folders)
    return [(folder.images / GONE).exists() for folder in folders]


def test_stale_files_of_all_hosts_go_and_are_counted(
    machines: Machines, lab: Testbed
) -> None:
    assert sweep_files_of(machines) == 2
    assert left(machines) == [False, False]


def test_host_with_a_surprising_answer_keeps_no_other_from_its_sweep(
    machines: Machines, lab: Testbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stale_files.old_artefacts

    def surprised(host: Host, **more: Scope) -> object:
        if host.state.is_main:
            raise ZeroDivisionError
        return real(host, **more)

    monkeypatch.setattr(stale_files, "old_artefacts", surprised)

    assert sweep_files_of(machines) == 1
    assert left(machines) == [True, False]


def test_files_of_an_image_that_was_not_saved_go_from_all_hosts(
    machines: Machines, lab: Testbed
) -> None:
    file, other = "own-00000000000000ff.qcow2", "own-00000000000000fe.qcow2"
    for folder in (machines.main, machines.other):
        for name in (f"{file}.part", file, f"{other}.part"):
            folder.put(name)

    remove_files_of(machines, [file])

    for folder in (machines.main, machines.other):
        assert {path.name for path in folder.images.glob("own-0*f?.*")} == {
            f"{other}.part"
        }


def saved(owner: User, file: str, deleted_at: datetime | None = None) -> SavedImage:
    return SavedImage.objects.create(
        owner=owner,
        name="base",
        file=file,
        sha256="0" * 64,
        size_bytes=1,
        account="nocloud",
        has_cloud_init=True,
        origin="lab/web",
        deleted_at=deleted_at,
    )


def test_files_of_a_saved_image_are_not_removed(
    machines: Machines, lab: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = "own-00000000000000ff.qcow2"
    machines.main.put(file)
    saved(owner, file)
    monkeypatch.setattr(stale_files, "kept_hosts", lambda: machines)

    stale_files.remove_unsaved([file])

    assert (machines.main.images / file).exists()


def test_deleted_image_goes_at_once_and_is_forgotten(
    machines: Machines, lab: Testbed, owner: User
) -> None:
    image = saved(owner, OWN, timezone.now())
    for folder in (machines.main, machines.other):
        folder.put(OWN)

    remove_deleted(machines)

    assert not (machines.main.images / OWN).exists()
    assert not (machines.other.images / OWN).exists()
    assert not SavedImage.objects.filter(pk=image.pk).exists()


def test_deleted_image_below_a_disk_stays_and_counts(
    machines: Machines, lab: Testbed, owner: User
) -> None:
    saved(owner, OWN, timezone.now())
    used = machines.other.put(OWN)
    machines.main.put(OWN)
    machines.other.layer("web", str(used), testbed="ghost")

    remove_deleted(machines)

    assert used.exists()
    assert SavedImage.objects.deleted().size_bytes() == 1


def test_deleted_image_counts_while_a_host_is_silent(
    machines: Machines, lab: Testbed, owner: User
) -> None:
    saved(owner, OWN, timezone.now())
    machines.main.put(OWN)
    machines.dead = {"host-b"}

    remove_deleted(machines)
    stayed = SavedImage.objects.deleted().exists()
    machines.dead = set()
    remove_deleted(machines)

    assert stayed
    assert not SavedImage.objects.exists()


def test_testbed_with_a_run_on_is_left_alone(
    machines: Machines, lab: Testbed, owner: User
) -> None:
    Run.objects.create(testbed=lab, command="up", plan={}, asked_by=owner)

    assert sweep_files_of(machines) == 0


def test_broken_state_keeps_its_files(machines: Machines, lab: Testbed) -> None:
    lab.project.state_file.write_text("{")

    assert sweep_files_of(machines) == 0


def test_run_that_begins_while_files_are_listed_keeps_them(
    machines: Machines, lab: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = stale_files.old_artefacts

    def list_and_start(host, *, scope):
        found = real(host, scope=scope)
        if host.state.is_main:
            Run.objects.create(testbed=lab, command="up", plan={}, asked_by=owner)
        return found

    monkeypatch.setattr(stale_files, "old_artefacts", list_and_start)

    assert sweep_files_of(machines) == 0
    assert left(machines) == [True, True]


def test_silent_host_does_not_keep_the_others_from_being_swept(
    machines: Machines, lab: Testbed
) -> None:
    machines.dead = {"main"}

    assert sweep_files_of(machines) == 1
    assert left(machines) == [True, False]


@pytest.fixture
def is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything be older: no test can turn back the time of a file's change."""
    real = images_task.observe

    def later(host, *, scope):
        store = real(host, scope=scope)
        return replace(store, now=store.now + 2 * 86400)

    monkeypatch.setattr(images_task, "observe", later)


def test_young_copy_of_a_disk_stays(machines: Machines) -> None:
    machines.other.put(OWN)

    assert sweep_images_of(machines) == 0


@pytest.mark.usefixtures("is_late")
def test_only_copies_of_disks_that_nobody_uses_go_by_themselves(
    machines: Machines, lab: Testbed
) -> None:
    used = machines.other.put("own-1111111111111111.img")
    machines.other.layer("web", str(used), testbed="ghost")
    for name in (OWN, GOLDEN, BASE):
        machines.other.put(name)

    assert sweep_images_of(machines) == 1

    assert machines.other.names() == {used.name, GOLDEN, BASE}


@pytest.mark.usefixtures("is_late")
def test_copies_stay_while_a_state_cannot_be_read(
    machines: Machines, lab: Testbed
) -> None:
    machines.other.put(OWN)
    lab.project.state_file.write_text("{")

    assert sweep_images_of(machines) == 0
