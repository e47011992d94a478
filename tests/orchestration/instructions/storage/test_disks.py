"""Disks that the user brings, from the file to a guest that runs."""

import gzip
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.compose.disk_files import stamp_of
from orchestration.errors import ImageFailed
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.storage import images
from orchestration.instructions.storage.disks import delete_disks, ensure_disk
from orchestration.instructions.task import Task
from orchestration.plan.model import Kind
from orchestration.providers.images import qemu_img
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState, HostKind, Markers
from orchestration.state.model.images import DiskOrigin
from orchestration.transport.base import Scope, command
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import spec_of
from tests.orchestration.state.test_disk_bases import existing, with_disk
from tests.tags import OWN_TAG

needs_qemu = pytest.mark.skipif(
    not shutil.which("qemu-img"), reason="qemu-img not installed"
)
MIB = 1024**2


@pytest.fixture(name="own")
def _own(rehearsal: Rehearsal) -> Rehearsal:
    """`a` and `b` link and copy a disk on two hosts, `c` boots an ISO on main."""
    iso = {"path": "a.iso", "expand_gigabytes": 2}
    rehearsal.build(
        spec_of(
            existing("a", "br0"),
            existing("b", "br1", create_deep_copy=True),
            with_disk("c", "br0", iso_guest=iso),
            bridges=("br0", "br1"),
        )
    )
    return rehearsal


def test_guests_without_a_seed_come_up_and_are_ready_when_they_run(
    own: Rehearsal,
) -> None:
    outcomes = own.up()

    assert outcomes.failed() == {}
    made = {name: r.message for name, r in outcomes.of(Kind.CREATE_DISKS).items()}
    assert made == {
        "a": "on ./disks/own.img",
        "b": "a copy of ./disks/own.img",
        "c": "blank",
    }
    ready = outcomes.of(Kind.SET_UP_GUESTS)
    assert {(r.status, r.message) for r in ready.values()} == {(Status.DONE, "runs")}
    assert {f.name for f in own.project.artefacts.iterdir()} == {
        f"{name}-domain.xml" for name in "abc"
    }
    again = own.up()
    for kind in (Kind.CREATE_DISKS, Kind.START_GUESTS, Kind.SET_UP_GUESTS):
        statuses = {result.status for result in again.of(kind).values()}
        assert statuses == {Status.UNCHANGED}, kind


def test_disks_are_what_the_yaml_asked_for(own: Rehearsal) -> None:
    own.up()

    files = own.memory("host-a")["files"] | own.memory("host-b")["files"]
    disks = {guest.name: files[guest.disk] for guest in own.state.guests}
    assert disks["a"]["backing"] == own.state.guest("a").image.path
    assert disks["b"].get("backing", "") == ""
    assert disks["c"]["virtual_size"] == 2 * qemu_img.GIB


def test_guest_that_stopped_is_not_ready(own: Rehearsal) -> None:
    own.up()
    domains.destroy(own.hosts.open(own.state.main).libvirt, own.domain("a"))

    results = {r.name: r for r in own.obey(own.instruction(Kind.SET_UP_GUESTS))}

    assert results["a"].status is Status.FAILED
    assert results["a"].message.startswith("Guest a on host-a was not ready")
    assert results["c"].status is Status.UNCHANGED


def test_users_files_are_taken_on_main_and_pushed_once(own: Rehearsal) -> None:
    outcomes = own.up()

    assert list(outcomes.of(Kind.FETCH_IMAGES)) == ["./disks/own.img", "./a.iso"]
    assert list(outcomes.of(Kind.PUSH_IMAGES)) == ["./disks/own.img to host-b"]


def test_file_that_changed_is_a_warning_and_takes_no_data(own: Rehearsal) -> None:
    own.up()
    own.project.mark("a", disk="./disks/own.img 0 bytes of yesterday")
    own.project.mark("b", disk="./disks/own.img 512 bytes of yesterday")

    kept = own.up().of(Kind.CREATE_DISKS)

    assert {kept[name].status for name in ("a", "b")} == {Status.WARNING}
    assert "was made from ./disks/own.img 0 bytes of yesterday" in kept["a"].message


def test_disk_of_an_earlier_version_is_laid_over_the_copy(own: Rehearsal) -> None:
    guest = deployed_over_original(own)

    assert own.up().failed() == {}

    disk = own.memory("host-a")["files"][guest.disk]
    assert (disk["backing"], disk["backing_format"]) == (guest.image.path, "qcow2")
    assert own.up().failed() == {}


def test_disk_of_an_earlier_version_whose_file_was_exchanged_is_refused(
    own: Rehearsal,
) -> None:
    guest = deployed_over_original(own)
    own.project.mark("a", disk="./disks/own.img 512 bytes of yesterday")

    refused = own.up().of(Kind.START_GUESTS)["a"]
    made = own.up(provision=True)

    assert refused.status is Status.FAILED
    assert "./disks/own.img, which it lies over, is another file" in refused.message
    assert "512 bytes of yesterday" in refused.detail
    assert made.failed() == {}
    disk = own.memory("host-a")["files"][guest.disk]
    assert disk["backing"] == guest.image.path


def test_disk_that_a_running_guest_lost_is_not_made_again_under_it(
    own: Rehearsal,
) -> None:
    own.up()
    guest, host = own.state.guest("b"), own.hosts.open(own.state.host("host-b"))
    host.transport.run(command("rm", "-f", "--", guest.disk), scope=Scope())
    own.project.mark("b", script="ran", script_exit_code=0)

    refused = own.up()

    result = refused.of(Kind.CREATE_DISKS)["b"]
    assert result.status is Status.FAILED
    assert result.message == (
        "The disk of guest b is missing on host-b while the guest runs: its data ends "
        "with it."
    )
    assert "Copy what you need out of the guest" in result.hint
    assert guest.disk not in own.memory("host-b")["files"]
    assert refused.of(Kind.SET_UP_GUESTS) == {}


def test_new_disk_in_place_of_a_lost_one_is_set_up_again(own: Rehearsal) -> None:
    own.up()
    own.project.mark("b", script="ran", script_exit_code=0)
    own.down()
    guest, host = own.state.guest("b"), own.hosts.open(own.state.host("host-b"))
    host.transport.run(command("rm", "-f", "--", guest.disk), scope=Scope())
    # The worker dies when the disk is made, before it can record that.
    own.break_("host-b", {"qemu-img convert": {"exit_code": 1}})

    assert own.up().of(Kind.CREATE_DISKS)["b"].status is Status.FAILED
    assert own.state.guest("b").markers == Markers()

    own.break_("host-b", {})
    own.up()
    assert own.state.guest("b").markers.script == ""
    assert own.state.guest("b").markers.disk


def test_disk_over_a_file_outside_the_images_folder_is_refused(own: Rehearsal) -> None:
    guest = deployed_over_original(own, "/etc/shadow")

    refused = own.up().of(Kind.START_GUESTS)["a"]

    assert refused.status is Status.FAILED
    assert "what it lies over is missing or another file" in refused.message
    assert "It lies over /etc/shadow" in refused.detail
    assert guest.image.source not in " ".join(own.asked("host-a"))


def deployed_over_original(own: Rehearsal, backing: str = "") -> GuestState:
    """Let guest `a` be off, its disk over the user's file as in earlier versions."""
    own.up()
    own.down()
    guest, host = own.state.guest("a"), own.hosts.open(own.state.main)
    words = ("-f", "qcow2", "-F", "qcow2", "-b", backing or guest.image.source)
    create = command("qemu-img", "create", *words, guest.disk)
    host.transport.run(create, scope=Scope())
    size = guest.image.size_bytes
    own.project.mark("a", disk=f"./disks/own.img {size} bytes of a day")
    return guest


def test_removed_guests_leave_their_originals(
    own: Rehearsal, make_task: MakeTask
) -> None:
    only_disc = with_disk("d", "br0", iso_guest={"path": "a.iso"})
    own.build(spec_of(existing("a", "br0"), only_disc, bridges=("br0",)))
    own.up()

    for name in ("a", "d"):
        delete_disks(make_task(name))

    removed = [line for line in own.asked("host-a") if line.startswith("rm -f -- ")]
    assert len(removed) == 2
    assert not any("own.img" in line or "a.iso" in line for line in removed)


@needs_qemu
@pytest.mark.parametrize("origin", [DiskOrigin.LINKED, DiskOrigin.COPIED])
@pytest.mark.parametrize("file_format", ["qcow2", "raw"])
def test_format_is_detected_and_the_original_stays_as_it_is(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path, origin: str, file_format: str
) -> None:
    original = _create(tmp_path / "own.img", "-f", file_format, size="4M")
    before = original.read_bytes()
    task, guest = _real(make_task("a"), own, original, origin)

    assert ensure_disk(task, guest)
    assert not ensure_disk(task, guest)

    made = qemu_img.info(task.host.transport, guest.disk, scope=task.scope)
    backing = str(original) if origin is DiskOrigin.LINKED else ""
    assert (made.format, made.backing) == ("qcow2", backing)
    assert made.virtual_size_bytes == 4 * MIB
    assert original.read_bytes() == before


@needs_qemu
@pytest.mark.parametrize("origin", [DiskOrigin.LINKED, DiskOrigin.COPIED])
@pytest.mark.parametrize("option", ["backing", "data file"])
def test_disk_that_needs_another_file_of_the_host_is_refused(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path, origin: str, option: str
) -> None:
    secret = _create(tmp_path / "secret", "-f", "raw", size="4M")
    words = ["-F", "raw", "-b", str(secret)]
    if option == "data file":
        words = ["-o", f"data_file={secret}"]
    original = _create(tmp_path / "own.img", "-f", "qcow2", *words, size="4M")
    task, guest = _real(make_task("a"), own, original, origin)

    with pytest.raises(ImageFailed, match="is not whole") as refused:
        ensure_disk(task, guest)

    assert str(secret) in refused.value.detail
    assert not Path(guest.disk).exists()


@needs_qemu
def test_disk_of_another_format_is_refused(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path
) -> None:
    original = _create(tmp_path / "own.vmdk", "-f", "vmdk", size="4M")
    task, guest = _real(make_task("a"), own, original, DiskOrigin.LINKED)

    with pytest.raises(ImageFailed, match="has the format vmdk"):
        ensure_disk(task, guest)


@needs_qemu
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html>" + bytes(600), "is a web page"),
        (b"PK\x03\x04" + bytes(600), "is a zip archive"),
    ],
)
def test_file_that_is_no_disk_is_refused(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path, content: bytes, words: str
) -> None:
    original = tmp_path / "own.img"
    original.write_bytes(content)
    task, guest = _real(make_task("a"), own, original, DiskOrigin.LINKED)

    with pytest.raises(ImageFailed, match=words):
        ensure_disk(task, guest)


@needs_qemu
def test_encrypted_disk_is_refused(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path
) -> None:
    secret = ("--object", "secret,id=s,data=secret")
    # qemu-img cannot always measure the processor time that LUKS asks for.
    aes = ("-o", "encrypt.format=aes,encrypt.key-secret=s")
    original = _create(tmp_path / "a", *secret, "-f", "qcow2", *aes, size="4M")
    task, guest = _real(make_task("a"), own, original, DiskOrigin.LINKED)

    with pytest.raises(ImageFailed, match="is encrypted"):
        ensure_disk(task, guest)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(("is_packed", "word"), [(True, "unpacked"), (False, "copied")])
def test_users_file_is_taken_where_images_are_fetched(
    own: Rehearsal, make_task: MakeTask, tmp_path: Path, is_packed: bool, word: str
) -> None:
    disk = b"QFI\xfb" + bytes(600)
    source, target = tmp_path / "own.img.gz", tmp_path / "store" / "own-0.disk"
    source.write_bytes(gzip.compress(disk) if is_packed else disk)
    task, guest = _real(make_task("./own.img"), own, target, DiskOrigin.LINKED)
    places = {
        "name": "./own.img",
        "is_own": True,
        "is_packed": is_packed,
        "source": str(source),
        "main_path": str(target),
        "stamp": stamp_of(source.stat()),
    }
    guest = guest.model_copy(update={"image": guest.image.model_copy(update=places)})
    task = replace(task, state=task.state.model_copy(update={"guests": (guest,)}))

    outcomes = [images.fetch_images(task), images.fetch_images(task)]

    assert [outcome.status for outcome in outcomes] == [Status.DONE, Status.UNCHANGED]
    assert outcomes[0].message == word
    assert target.read_bytes() == disk
    assert target.stat().st_mode & 0o7777 == 0o444


def _create(path: Path, *words: str, size: str) -> Path:
    create = command("qemu-img", "create", "-q", *words, str(path), size)
    LocalTransport().run(create, scope=Scope())
    return path


def _real(
    task: Task, own: Rehearsal, original: Path, origin: str
) -> tuple[Task, GuestState]:
    """The same task on this machine, with a disk that is really there."""
    guest = own.state.guest("a")
    image = guest.image.model_copy(update={"path": str(original)})
    disk = str(original.with_name("disk.qcow2"))
    changes = {"image": image, "disk": disk, "disk_origin": origin}
    host = task.host.state.model_copy(update={"kind": HostKind.REAL})
    here = Host(host, LocalTransport(), task.host.libvirt)
    real = replace(task, host=here, scope=Scope(OWN_TAG))
    return real, guest.model_copy(update=changes)
