"""Observations of a host's images: names, sizes, free space and leftovers.

With real folders. Which images are in use, told from the layers over them, is in
test_image_layers.py.
"""

from pathlib import Path

import pytest

from orchestration.errors import CommandFailed
from orchestration.hosts import Host
from orchestration.inventory.images import ImageKind, Use, freed_bytes, kind_of, observe
from orchestration.inventory.pruning import is_ripe
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope
from tests.orchestration.inventory.test_image_layers import DOMAIN
from tests.orchestration.providers.libvirt.samples import define_text
from tests.orchestration.stores import BASE, GOLDEN, OWN, StoreFolder, qcow2


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (GOLDEN, ImageKind.GOLDEN),
        (BASE, ImageKind.BASE),
        ("unsigned-unverified.raw", ImageKind.BASE),
        (OWN, ImageKind.OWN),
        ("own-fedcba9876543210", ImageKind.OWN),
        ("own-fedcba9876543210.part", None),
        ("debian.qcow2", None),
        ("local.json", None),
        (f"{GOLDEN}.new", None),
        (f".{GOLDEN}.0123abcd.part", None),
    ],
)
def test_image_is_known_by_its_name(name: str, kind: ImageKind | None) -> None:
    assert kind_of(name) == kind


def test_look_shows_sizes_names_and_room(host: Host, folder: StoreFolder) -> None:
    folder.linked(GOLDEN, "sha256-aa")
    (folder.images / BASE).write_bytes(qcow2("", virtual=5 << 30))
    folder.put("an-admins-own.qcow2")

    store = observe(host, scope=Scope())

    golden, base = store.image(GOLDEN), store.image(BASE)
    assert {image.name for image in store.images} == {GOLDEN, BASE}
    assert golden is not None
    assert (golden.blob, golden.links, golden.size_bytes) == (
        ".store/sha256-aa",
        2,
        5000,
    )
    assert golden.disk_bytes == (folder.images / GOLDEN).stat().st_blocks * 512
    assert base is not None
    assert base.virtual_bytes == 5 << 30
    assert 0 < store.free_bytes <= store.total_bytes


def test_look_shows_what_is_free_for_disks_and_what_artefacts_take(
    host: Host, folder: StoreFolder
) -> None:
    disk = folder.layer("web", f"{folder.images}/{GOLDEN}")
    disk.write_bytes(bytes(range(256)) * 400)
    seed = disk.with_name("web-seed.iso")
    seed.write_bytes(b"x" * 9000)
    (disk.parents[1] / "files").mkdir()
    (disk.parents[1] / "files/large").write_bytes(b"x" * 99_000)

    store = observe(host, scope=Scope())

    taken = sum(path.stat().st_blocks * 512 for path in (disk, seed))
    assert store.artefact_bytes == taken > 100_000
    assert store.projects_free_bytes is not None
    assert 0 < store.projects_free_bytes <= store.total_bytes


def test_new_host_shows_what_is_free_before_its_folders_exist(
    host: Host, folder: StoreFolder
) -> None:
    (folder.images / ".store").rmdir()
    folder.images.rmdir()
    folder.projects.rmdir()

    store = observe(host, scope=Scope())

    assert store.projects_free_bytes is not None
    assert (store.projects_free_bytes > 0, store.artefact_bytes) == (True, 0)


def test_host_without_a_folder_of_images_has_none(
    host: Host, folder: StoreFolder
) -> None:
    (folder.images / ".store").rmdir()
    folder.images.rmdir()

    assert observe(host, scope=Scope()).images == ()


def test_folder_of_projects_that_is_missing_is_no_proof_of_anything(
    host: Host, folder: StoreFolder
) -> None:
    folder.put(GOLDEN)
    folder.projects.rmdir()

    with pytest.raises(CommandFailed):
        observe(host, scope=Scope())


def test_names_that_are_no_text_can_be_shown(
    host: Host, folder: StoreFolder, tmp_path: Path
) -> None:
    top, bad = tmp_path / "top.qcow2", tmp_path / "\udcff.qcow2"
    bad.write_bytes(qcow2(f"{folder.images}/{GOLDEN}"))
    top.write_bytes(qcow2(str(bad)))
    define_text(host.libvirt, DOMAIN.format(name="mine", file=top, mark=""))

    assert observe(host, scope=Scope()).uses == {
        GOLDEN: {Use("", str(tmp_path / "?.qcow2"))}
    }


@pytest.mark.parametrize(
    ("name", "is_left"),
    [
        (f"{BASE}.part", True),
        ("my-own.part", False),
        (f"{GOLDEN}.new", True),
        (f"{GOLDEN}.new.part", True),
        (f".{GOLDEN}.0123abcd.part", True),
        (f".{GOLDEN}.0123abcd.pruned", True),
        (f".{GOLDEN}.link", True),
        (f"{GOLDEN}.verified", True),
        ("debian.qcow2.verified", False),
        (".store/sha256-aa", True),
        (".store/sha256-aa.part", True),
        (".store/sha256-aa.part.at", True),
        ("local.json", False),
    ],
)
def test_leftovers_are_known_by_their_names(
    host: Host, folder: StoreFolder, name: str, is_left: bool
) -> None:
    folder.put(name)

    found = [left.path for left in observe(host, scope=Scope()).leftovers]

    assert found == ([name] if is_left else [])


def test_content_with_a_name_and_stamp_with_an_image_are_no_leftovers(
    host: Host, folder: StoreFolder
) -> None:
    folder.linked(GOLDEN, "sha256-aa")
    folder.put(f"{GOLDEN}.verified")

    assert observe(host, scope=Scope()).leftovers == ()


def test_file_just_written_or_renamed_is_not_ripe(
    host: Host, folder: StoreFolder
) -> None:
    folder.put(f"{BASE}.part", days=30)

    store = observe(host, scope=Scope())

    # Its time of change is old, but it was put there just now.
    assert not is_ripe(store.leftovers[0], store.now)
    assert is_ripe(store.leftovers[0], store.now + 2 * 86400)


def test_file_with_two_names_is_freed_with_the_second_only(
    host: Host, folder: StoreFolder
) -> None:
    folder.linked(GOLDEN, "sha256-aa")
    folder.linked(OWN, "sha256-aa")
    disk = (folder.images / GOLDEN).stat().st_blocks * 512

    images = observe(host, scope=Scope()).images

    assert freed_bytes(images[:1]) == 0
    assert freed_bytes(images) == disk


def test_simulated_host_keeps_no_images(host: Host, folder: StoreFolder) -> None:
    folder.put(GOLDEN)
    simulated = host.state.model_copy(update={"kind": HostKind.SIMULATED})
    rehearsing = Host(simulated, host.transport, host.libvirt)

    assert observe(rehearsing, scope=Scope()).images == ()
