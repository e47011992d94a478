"""Bases of guests' disks: the user's files, and their paths on each host."""

from pathlib import PurePosixPath

import pytest

from orchestration.compose.catalogue import Catalogue, Image
from orchestration.compose.language.schema import Spec
from orchestration.inventory.images import ImageKind, kind_of
from orchestration.plan.resources import image_resources
from orchestration.state.build import Inputs, build_state
from orchestration.state.disk_bases import DiskFile
from orchestration.state.guests import spec_hash
from orchestration.state.model import GuestState
from orchestration.state.model.images import DiskOrigin
from tests.orchestration.state.samples import (
    CATALOGUE,
    HOSTS,
    identity,
    machine,
    spec_of,
)

FILE = DiskFile("/srv/testbeds/demo/files/disks/own.img", 512, "512 bytes of today")


def with_disk(name: str, bridge: str, **disk: object) -> object:
    libvirt = {"cpus": 1, "memory_mb": 64, "libvirt_type": disk}
    return {"name": name, "interfaces": [{"bridge": bridge}], "libvirt": libvirt}


def existing(name: str, bridge: str, **keys: object) -> object:
    return with_disk(name, bridge, existing_disk={"path": "disks/own.img", **keys})


def built(*machines: object, file: DiskFile = FILE) -> dict[str, GuestState]:
    spec: Spec = spec_of(*machines, bridges=("br0", "br1"))
    state = build_state(
        spec,
        Inputs(disk_files={"disks/own.img": file}),
        identity=identity(),
        hosts=HOSTS[:2],
        catalogue=CATALOGUE,
    )
    return {guest.name: guest for guest in state.guests}


def test_file_is_copied_on_main_and_goes_to_another_host_from_there() -> None:
    guests = built(existing("here", "br0"), existing("there", "br1"))

    here, there = guests["here"].image, guests["there"].image
    name = PurePosixPath(here.path).name
    assert kind_of(name) is ImageKind.OWN
    assert name.endswith(".img")
    assert here.path == here.main_path == there.main_path == f"/srv/images/{name}"
    assert guests["there"].host == "host-b"
    assert there.path == f"/var/lib/testbed/images/{name}"
    assert (here.source, here.is_packed) == (FILE.path, False)
    assert (here.name, here.is_own, here.format) == ("./disks/own.img", True, "")
    assert guests["here"].disk_origin is DiskOrigin.LINKED


def test_packed_file_is_unpacked_into_mains_store_under_its_own_name() -> None:
    packed = DiskFile(f"{FILE.path}.xz", 99, "99 bytes of today", is_packed=True)

    guests = built(existing("here", "br0"), existing("there", "br1"), file=packed)

    here, there = guests["here"].image, guests["there"].image
    assert here.path == here.main_path == there.main_path
    assert here.path.startswith("/srv/images/own-")
    assert here.path.endswith(".disk")
    assert (here.source, here.is_packed) == (packed.path, True)
    assert there.path.startswith("/var/lib/testbed/images/own-")
    assert kind_of(PurePosixPath(here.path).name) is ImageKind.OWN


def test_changed_file_is_another_one_on_the_other_host_and_in_the_hash() -> None:
    later = DiskFile(FILE.path, 512, "512 bytes of tomorrow")
    machines = (existing("here", "br0"), existing("there", "br1"))

    before, after = built(*machines), built(*machines, file=later)

    assert before["there"].image.path != after["there"].image.path
    assert before["here"].image.identity != after["here"].image.identity
    for name in ("here", "there"):
        assert before[name].spec_hash != after[name].spec_hash


def test_keys_of_an_existing_disk_are_honoured() -> None:
    guests = built(
        existing("copied", "br0", create_deep_copy=True, driver_type="raw"),
        existing("fixed", "br0", readonly=True),
        existing("disc", "br0", device_type="cdrom"),
        existing("windows", "br0", driver="sata"),
    )

    copied, fixed, disc = guests["copied"], guests["fixed"], guests["disc"]
    assert (guests["windows"].disk_bus, fixed.disk_bus) == ("sata", "virtio")
    assert (copied.disk_origin, copied.image.format) == (DiskOrigin.COPIED, "raw")
    assert (fixed.is_readonly, fixed.is_cdrom) == (True, False)
    assert (disc.is_readonly, disc.is_cdrom) == (True, True)
    assert len({guest.spec_hash for guest in guests.values()}) == 4


@pytest.mark.parametrize(("size", "disk"), [(4, "fresh-disk.qcow2"), (0, "")])
def test_iso_guest_has_a_blank_disk_of_the_size_asked_for(size: int, disk: str) -> None:
    iso = {"path": "disks/own.img", "expand_gigabytes": size}

    guest = built(with_disk("fresh", "br0", iso_guest=iso))["fresh"]

    assert (guest.disk_origin, guest.image.format) == (DiskOrigin.BLANK, "raw")
    assert guest.disk.rpartition("/")[2] == disk


def test_guest_that_reads_no_seed_gets_nothing_that_needs_one() -> None:
    guests = built(existing("own", "br0"), machine("cloud", "br0"))

    own, cloud = guests["own"], guests["cloud"]
    assert (own.seed, own.management) == ("", None)
    assert own.interfaces[0].dhcp
    assert cloud.seed
    assert cloud.management is not None


def test_hash_of_a_password_reaches_only_the_guest_that_has_it() -> None:
    plain = machine("plain", "br0")
    locked = machine("locked", "br0")
    locked["libvirt"]["password"] = "secret"

    state = build_state(
        spec_of(plain, locked),
        Inputs(password_hashes={"secret": "$6$salt$hash"}),
        identity=identity(),
        hosts=HOSTS[:1],
        catalogue=CATALOGUE,
    )

    assert state.guest("locked").password_hash == "$6$salt$hash"
    assert state.guest("plain").password_hash == ""
    assert "secret" not in state.model_dump_json()


def test_users_file_is_among_the_images_that_are_fetched() -> None:
    state = build_state(
        spec_of(existing("here", "br0")),
        Inputs(disk_files={"disks/own.img": FILE}),
        identity=identity(),
        hosts=HOSTS[:1],
        catalogue=CATALOGUE,
    )

    fetched = [resource.name for resource in image_resources(state)]

    assert fetched == ["./disks/own.img"]


def test_hash_of_a_guest_on_main_is_that_of_a_file_used_in_place() -> None:
    guest = built(existing("here", "br0"))["here"]

    # As earlier versions did.
    file = {"path": FILE.path, "main_path": FILE.path, "source": ""}
    image = guest.image.model_copy(update=file)
    before = guest.model_copy(update={"image": image})

    assert spec_hash(before, HOSTS[0]) == guest.spec_hash


def test_guest_of_an_image_without_cloud_init_only_runs() -> None:
    image = Image(name="plain", path="/i", user="cirros", has_cloud_init=False)
    state = build_state(
        spec_of(machine("web", "br0", name="plain")),
        Inputs(),
        identity=identity(),
        hosts=HOSTS[:1],
        catalogue=Catalogue([image]),
    )

    (guest,) = state.guests
    assert (guest.seed, guest.management, guest.user) == ("", None, "cirros")
