"""Disks are planned within the space of their hosts and the limits of their owner."""

import struct
import threading

import pytest
from django.db import connection
from django.utils import timezone

from orchestration.errors import NotEnoughSpace
from orchestration.plan.model import Command, Options
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.project.snapshots import KeptRecord, drop, keep
from orchestration.providers.images.qcow2 import MAGIC
from orchestration.state.model import Markers
from testbed.access.limits import LimitReached
from testbed.hosts.snapshots import SnapshotsOfHost, save_snapshots
from testbed.models import Allowance, Host, ImageStore, Run, Testbed
from testbed.runs.creation import create_run, create_snapshot
from testbed.runs.outcome import finish_run
from testbed.testbeds.disk_space import held_by, virtual_bytes
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.snapshots.rows import put, taken
from tests.testbed.testbeds.planning.edits import edit

pytestmark = pytest.mark.database

GIB = 1024**3
MIB = 1024**2
# One guest on main and one on host-b, 10 GiB each besides their images.
LARGE = YAML.replace("{name: ubuntu_22_04}", "{name: none, expand_gigabytes: 10}")
IMAGE = '[{"name": "none", "url": "https://images.invalid/none", "sha256": "%s"}]'


@pytest.fixture(autouse=True)
def space(testbed, hosts, settings, tmp_path):
    """Hosts that keep disks, with 10 GiB free each and the overcommit factor 2."""
    settings.DISK_OVERCOMMIT = 2.0
    settings.IMAGES_DIR = tmp_path / "images"
    settings.LOCAL_CATALOGUE = tmp_path / "local.json"
    settings.LOCAL_CATALOGUE.write_text(IMAGE % ("ab" * 32))
    Host.objects.update(kind="real", projects_dir="/srv/projects")
    Host.objects.filter(is_main=True).update(tunnel_address="192.0.2.1")
    for host in hosts:
        seen = timezone.now()
        ImageStore.objects.create(
            host=host, projects_free_bytes=10 * GIB, seen_at=seen, looked_at=seen
        )
    testbed.project.yaml.write_text(LARGE)


def made(owner, slug, number, yaml=LARGE):
    found = Testbed.objects.create(owner=owner, slug=slug, number=number)
    found.project.create()
    found.project.yaml.write_text(yaml)
    return found


def up(testbed):
    state, _ = prepare(testbed, Command.UP, Options())
    Testbed.objects.filter(pk=testbed.pk).update(condition=Testbed.Condition.UP)
    testbed.refresh_from_db()
    return state


def test_disks_within_the_overcommitted_space_are_planned(testbed, owner):
    up(testbed)

    up(made(owner, "second", 8))

    assert held_by(testbed) == {"main": 10 * GIB, "host-b": 10 * GIB}


def test_error_names_host_store_sizes_and_factor_and_nothing_is_written(
    testbed, owner, member
):
    up(testbed)
    up(made(owner, "second", 8))
    third = made(member, "third", 9)

    with pytest.raises(NotEnoughSpace) as refused:
        prepare(third, Command.UP, Options())

    message = refused.value.message
    assert "On host-b they may grow to 10.0 GiB" in message
    assert "those of other testbeds to 20.0 GiB" in message
    assert "There /srv/projects had 10.0 GiB free at " in message
    assert "allows 20.0 GiB with the overcommit factor 2." in message
    assert message.count("On main they may grow") == 1
    assert "TESTBED_DISK_OVERCOMMIT" in refused.value.hint
    assert not third.project.has_state()


def test_written_disks_do_not_count_twice(testbed, owner, member):
    up(testbed)
    up(made(owner, "second", 8))
    ImageStore.objects.update(projects_free_bytes=6 * GIB, artefact_bytes=9 * GIB)

    up(made(member, "third", 9))

    assert Testbed.objects.filter(condition=Testbed.Condition.UP).count() == 3


def test_host_that_was_never_looked_at_is_not_judged(testbed):
    ImageStore.objects.update(projects_free_bytes=None)
    edit(testbed, "expand_gigabytes: 10", "expand_gigabytes: 100")

    assert up(testbed).guests


def test_testbed_that_adds_nothing_is_planned_on_a_full_host(testbed):
    up(testbed)
    ImageStore.objects.update(projects_free_bytes=0)

    up(testbed)
    edit(testbed, "expand_gigabytes: 10", "expand_gigabytes: 9")
    up(testbed)

    edit(testbed, "expand_gigabytes: 9", "expand_gigabytes: 30")
    with pytest.raises(NotEnoughSpace):
        up(testbed)


def test_disk_counts_as_long_as_it_exists(testbed):
    prepare(testbed, Command.UP, Options())
    assert held_by(testbed).get("host-b", 0) == 0

    made_disk = Markers(disk="none-ab").model_dump()
    testbed.project.mark("db", **made_disk)

    assert held_by(testbed)["host-b"] == 10 * GIB


def test_of_two_simultaneous_ups_one_passes(testbed, owner, transactional_db, doors):
    ImageStore.objects.update(projects_free_bytes=5 * GIB)
    second = made(owner, "second", 8)
    barrier, refused = threading.Barrier(2), []

    def create(one):
        barrier.wait(timeout=30)
        try:
            create_run(one, owner, Command.UP)
        except NotEnoughSpace as exc:
            refused.append(exc)
        connection.close()

    threads = [
        threading.Thread(target=create, args=(one,)) for one in (testbed, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (Run.objects.count(), len(refused)) == (1, 1)


def test_context_counts_once_for_each_guest_on_its_host_and_on_main(testbed):
    edit(testbed, "expand_gigabytes: 10", "context: ctx")
    folder = testbed.project.files / "ctx"
    folder.mkdir()
    (folder / "data").write_bytes(bytes(3 * MIB - 512))

    up(testbed)

    assert held_by(testbed) == {"main": 6 * MIB, "host-b": 3 * MIB}


@pytest.mark.parametrize("command", [Command.UP, Command.GENERATE_ARTEFACTS])
def test_contexts_times_guests_are_refused_while_planning(testbed, command):
    ImageStore.objects.update(projects_free_bytes=2 * MIB)
    edit(testbed, "expand_gigabytes: 10", "context: data")
    (testbed.project.files / "data").write_bytes(bytes(3 * MIB))

    with pytest.raises(NotEnoughSpace, match=r"On main they may grow to 6\.0 MiB"):
        prepare(testbed, command, Options())

    assert not testbed.project.has_state()


def test_disks_of_one_testbed_are_limited(testbed, owner):
    Allowance.objects.create(user=owner, testbed_disk_gib=19)

    with pytest.raises(LimitReached) as refused:
        up(testbed)

    assert refused.value.message == (
        "The disks of this testbed may grow to 20.0 GiB; 19.0 GiB are allowed."
    )


def test_disks_of_all_testbeds_of_a_user_are_limited(testbed, owner, member):
    up(testbed)
    up(made(member, "other", 9))
    Allowance.objects.create(user=owner, user_disk_gib=39)

    with pytest.raises(LimitReached, match="all testbeds of olive may grow to 40"):
        up(made(owner, "second", 8))


def test_snapshots_count_with_their_memory_and_a_larger_disk_as_it_is(testbed):
    up(testbed)
    base, other = (taken(name, memory_bytes=GIB) for name in ("base", "other"))

    row = put(testbed, "web", base, other, disk_bytes=3 * GIB)
    assert held_by(testbed) == {"main": 12 * GIB, "host-b": 10 * GIB}
    put(testbed, "web", base, other, disk_bytes=15 * GIB)
    assert held_by(testbed) == {"main": 15 * GIB, "host-b": 10 * GIB}
    row.delete()

    assert held_by(testbed) == {"main": 10 * GIB, "host-b": 10 * GIB}


def test_snapshots_of_a_guest_that_is_down_count_on(testbed):
    up(testbed)
    put(testbed, "web", taken("base", memory_bytes=GIB), disk_bytes=3 * GIB)
    sizes = {"base": GIB, "other": GIB}
    record = KeptRecord(texts=("<domainsnapshot/>",), memory_bytes=sizes)
    keep(testbed.project, "web", record)
    # A look finds no domain.
    save_snapshots([SnapshotsOfHost("main", (), timezone.now())])

    assert held_by(testbed) == {"main": 12 * GIB, "host-b": 10 * GIB}
    whole = record.model_copy(update={"disk_bytes": 15 * GIB})
    keep(testbed.project, "web", whole)
    assert held_by(testbed) == {"main": 15 * GIB, "host-b": 10 * GIB}
    drop(testbed.project, "web")

    assert held_by(testbed) == {"main": 10 * GIB, "host-b": 10 * GIB}


def test_snapshots_of_a_user_are_limited_with_the_disks(testbed, owner, doors):
    up(testbed)
    put(testbed, "web", taken("base", memory_bytes=GIB))
    Allowance.objects.create(user=owner, user_disk_gib=30)
    small = LARGE.replace("10}", "5}")

    with pytest.raises(LimitReached, match=r"may grow to 31\.0 GiB"):
        up(made(owner, "second", 8, small))


def test_snapshot_is_refused_where_its_memory_exceeds_the_limit(testbed, owner, doors):
    up(testbed)
    Allowance.objects.create(user=owner, testbed_disk_gib=20)
    wish = SnapshotWish(SnapshotVerb.CREATE, "base", "olive")
    restore = SnapshotWish(SnapshotVerb.RESTORE, "base", "olive", before="now")

    for one in (wish, restore):
        with pytest.raises(LimitReached) as refused:
            create_snapshot(testbed, owner, one, "web")
    assert "may grow to 20.2 GiB; 20.0 GiB are allowed" in refused.value.message
    assert "Delete disks, snapshots or images that are not needed" in refused.value.hint
    assert not Run.objects.exists()
    delete = SnapshotWish(SnapshotVerb.DELETE, "base", "olive")
    create_snapshot(testbed, owner, delete, "web")


def test_snapshot_counts_before_a_look_has_read_it(testbed, owner, doors):
    (web, _) = up(testbed).guests
    Testbed.objects.update(observed_at=timezone.now())
    Allowance.objects.create(user=owner, testbed_disk_gib=21)
    wish = SnapshotWish(SnapshotVerb.CREATE, "base", "olive")

    for _ in range(1024 // web.memory_mib):
        run = create_snapshot(testbed, owner, wish, "web")
        finish_run(run.pk, Run.Status.SUCCEEDED)
    with pytest.raises(LimitReached, match=r"21\.0 GiB are allowed"):
        create_snapshot(testbed, owner, wish, "web")
    Testbed.objects.update(observed_at=timezone.now())  # they are gone again

    assert create_snapshot(testbed, owner, wish, "web").pk


def test_guest_that_is_off_stores_no_memory(testbed, owner, doors):
    up(testbed)
    Allowance.objects.create(user=owner, testbed_disk_gib=20)
    testbed.observed_guests.create(
        name="web", host="main", status="shut off", observed_at=timezone.now()
    )

    wish = SnapshotWish(SnapshotVerb.CREATE, "base", "olive")
    assert create_snapshot(testbed, owner, wish, "web").pk


def test_size_of_an_image_is_in_its_header(testbed, tmp_path):
    (guest, _) = up(testbed).guests
    file = tmp_path / "disk.qcow2"
    file.write_bytes(struct.pack(">4sIQIIQ", MAGIC, 3, 0, 0, 16, 64 * 1024 * GIB))
    image = guest.image.model_copy(update={"source": str(file), "size_bytes": 5})

    assert virtual_bytes(image) == 64 * 1024 * GIB
    assert virtual_bytes(image.model_copy(update={"format": "raw"})) == 32
    assert virtual_bytes(image.model_copy(update={"source": ""})) == 5
