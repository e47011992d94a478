"""Which images of a host are in use: whatever lies over them, by whatever way.

With real folders and qcow2 headers: layers of testbeds, of domains, through links and
long chains. What nobody can read is named, so that no image is removed for it.
"""

import os
from pathlib import Path

import pytest

from orchestration.hosts import Host
from orchestration.inventory.images import ImageKind, Use, observe
from orchestration.providers.images import chains
from orchestration.transport.base import Scope
from tests.orchestration.providers.libvirt.samples import define_text
from tests.orchestration.stores import BASE, GOLDEN, OWN, StoreFolder, qcow2, unreadable

DOMAIN = """\
<domain type='test'><name>{name}</name><memory unit='MiB'>64</memory>
<metadata>{mark}</metadata>
<os><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='{file}'/><target dev='vda'/></disk>
</devices></domain>
"""
MARK = "<t:owner xmlns:t='urn:testbed:orchestration:1' testbed='ghost' guest='web'/>"


def test_all_of_many_layers_are_counted_for_their_image(
    host: Host, folder: StoreFolder
) -> None:
    image = folder.linked(GOLDEN, "sha256-aa")
    # More than fit into the command line of one `head`.
    names = [f"{'node' * 45}-{number}" for number in range(700)]
    for name in names:
        folder.layer(name, str(image))

    uses = observe(host, scope=Scope()).uses

    assert uses[GOLDEN] == {Use("lab", name) for name in names}


def test_layers_of_any_name_and_their_unfinished_ones_count(
    host: Host, folder: StoreFolder
) -> None:
    other = folder.projects / "lab" / "files" / "some disk"
    other.parent.mkdir(parents=True)
    other.write_bytes(qcow2(f"../../images/{OWN}"))
    part = folder.layer("web", f"{folder.images}/{BASE}")
    part.rename(f"{part}.part")
    folder.put("../projects/lab/files/script.sh", content=GOLDEN.encode() * 100)

    uses = observe(host, scope=Scope()).uses

    assert uses == {OWN: {Use("lab", "some disk")}, BASE: {Use("lab", "web")}}


def test_content_that_looks_like_another_file_is_not_taken_for_one(
    host: Host, folder: StoreFolder
) -> None:
    path = folder.layer("web", f"{folder.images}/{BASE}")
    fake = b"\n==> /x <==\n" + qcow2(f"/{GOLDEN}")
    path.write_bytes(path.read_bytes()[:1200] + fake)
    folder.layer("db", f"{folder.images}/{OWN}")

    assert set(observe(host, scope=Scope()).uses) == {BASE, OWN}


@pytest.mark.parametrize("offset", [2040, 2048, 60_000])
def test_name_that_lies_deep_in_a_layer_is_read(
    host: Host, folder: StoreFolder, offset: int
) -> None:
    path = folder.layer("web", "x")
    path.write_bytes(qcow2(f"{folder.images}/{GOLDEN}", offset=offset))

    store = observe(host, scope=Scope())

    assert (store.uses, store.unreadable) == ({GOLDEN: {Use("lab", "web")}}, ())


@pytest.mark.parametrize(
    "broken",
    [
        qcow2(f"/{GOLDEN}", offset=1 << 16),
        qcow2("/" + "x" * 1023 + GOLDEN),
        qcow2(f"/{GOLDEN}", bits=40),
        qcow2(f"/{GOLDEN}", offset=60_000)[:60_005],
    ],
)
def test_disk_that_qemu_would_not_open_lies_over_nothing(
    host: Host, folder: StoreFolder, broken: bytes
) -> None:
    folder.layer("web", "x").write_bytes(broken)

    store = observe(host, scope=Scope())

    assert (store.uses, store.unreadable) == ({}, ())


@pytest.mark.parametrize(
    "said",
    [
        "head: cannot open '{path}' for reading: Permission denied",
        "head: error reading '{path}': Permission denied",
        "find: '{path}': Permission denied",
    ],
)
def test_file_that_nobody_can_read_is_named_with_its_testbed_and_the_way_out(
    host: Host, folder: StoreFolder, said: str
) -> None:
    folder.put(GOLDEN)
    path = folder.layer("web", "x")
    broken = unreadable(host, said.format(path=path))

    store = observe(broken, scope=Scope())

    (sentence,) = store.unreadable
    assert f"{path} of testbed lab may lie over any image" in sentence
    assert "(Permission denied)" in sentence
    assert sentence.endswith("let it be read, or delete it there")
    assert store.image(GOLDEN) is not None


def test_file_that_a_users_disk_names_is_said_to_be_the_users(
    host: Host, folder: StoreFolder
) -> None:
    folder.layer("web", "/far/away.qcow2")
    broken = unreadable(host, "find: '/far/away.qcow2': Stale file handle")

    (sentence,) = observe(broken, scope=Scope()).unreadable

    assert sentence.startswith("/far/away.qcow2 of testbed lab may lie over any image")


def test_layer_in_a_subfolder_of_the_images_counts(
    host: Host, folder: StoreFolder
) -> None:
    image = folder.put(GOLDEN)
    middle = folder.put("mine/deep/middle.qcow2", content=qcow2(str(image)))
    folder.layer("web", f"{folder.images}/{OWN}")

    uses = observe(host, scope=Scope()).uses

    assert uses == {GOLDEN: {Use("", str(middle))}, OWN: {Use("lab", "web")}}


@pytest.mark.parametrize("place", ["images", "projects", "elsewhere"])
def test_image_that_is_reached_through_a_link_is_used(
    host: Host, folder: StoreFolder, tmp_path: Path, place: str
) -> None:
    image = folder.put(GOLDEN)
    link = tmp_path / place / "alias.qcow2"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(image)
    folder.layer("web", str(link))

    store = observe(host, scope=Scope())

    assert store.uses == {GOLDEN: {Use("lab", "web")}}


def test_chain_is_followed_through_links_to_the_end(
    host: Host, folder: StoreFolder, tmp_path: Path
) -> None:
    image = folder.put(GOLDEN)
    real = tmp_path / "share" / "middle.qcow2"
    real.parent.mkdir()
    real.write_bytes(qcow2("next.qcow2"))
    (tmp_path / "share" / "next.qcow2").symlink_to(image)
    (folder.projects / "lab").mkdir()
    link = folder.projects / "lab" / "disk.qcow2"
    link.symlink_to(real)
    define_text(host.libvirt, DOMAIN.format(name="mine", file=link, mark=""))

    # The name is taken from where the layer was opened, not from where it lies.
    assert observe(host, scope=Scope()).uses == {}
    (folder.projects / "lab" / "next.qcow2").symlink_to(image)
    assert set(observe(host, scope=Scope()).uses) == {GOLDEN}


def test_content_that_a_disk_lies_over_by_its_own_name_is_used(
    host: Host, folder: StoreFolder
) -> None:
    folder.linked(GOLDEN, "sha256-aa")
    alone = folder.put(".store/sha256-bb")
    folder.layer("web", f"{folder.images}/.store/sha256-aa")
    folder.layer("db", str(alone))

    store = observe(host, scope=Scope())

    assert store.uses == {GOLDEN: {Use("lab", "web")}}
    assert store.leftovers == ()


def test_chain_that_does_not_end_is_said_to_be_too_deep(
    host: Host, folder: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chains, "CHAIN_DEPTH", 3)
    for number in range(5):
        below = qcow2(f"{tmp_path}/{number + 1}.qcow2")
        (tmp_path / f"{number}.qcow2").write_bytes(below)
    folder.layer("web", f"{tmp_path}/0.qcow2")

    (sentence,) = observe(host, scope=Scope()).unreadable

    assert sentence.startswith(f"{tmp_path}/3.qcow2 may lie over any image (it is more")


def test_layers_that_lie_over_each_other_end(
    host: Host, folder: StoreFolder, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.qcow2", tmp_path / "other.qcow2"
    one.write_bytes(qcow2(str(other)))
    other.write_bytes(qcow2(str(one)))
    folder.layer("web", str(one))

    store = observe(host, scope=Scope())

    assert (store.uses, store.unreadable) == ({}, ())


def test_domain_and_what_is_below_its_disk_count_wherever_they_lie(
    host: Host, folder: StoreFolder, tmp_path: Path
) -> None:
    middle, top = tmp_path / "middle.qcow2", tmp_path / "top.qcow2"
    middle.write_bytes(qcow2(f"{folder.images}/{GOLDEN}"))
    top.write_bytes(qcow2("middle.qcow2"))
    cd = f"{folder.images}/{OWN}"
    define_text(host.libvirt, DOMAIN.format(name="mine", file=top, mark=""))
    define_text(host.libvirt, DOMAIN.format(name="ghost-web", file=cd, mark=MARK))

    uses = observe(host, scope=Scope()).uses

    assert uses == {GOLDEN: {Use("", str(middle))}, OWN: {Use("ghost", "web")}}


def test_chain_that_leaves_the_projects_by_a_relative_name_is_followed(
    host: Host, folder: StoreFolder, tmp_path: Path
) -> None:
    middle = tmp_path / "elsewhere" / "middle.qcow2"
    middle.parent.mkdir()
    middle.write_bytes(qcow2(f"{folder.images}/{GOLDEN}"))
    below = f"{folder.projects}/lab/../../elsewhere/middle.qcow2"
    folder.layer("web", below)

    assert observe(host, scope=Scope()).uses == {GOLDEN: {Use("", below)}}


@pytest.mark.parametrize(
    "backing",
    [
        "/dev",
        "{root}/pipe",
        "/etc/passwd/x",
        "/" + "x" * 300,
        "/\udcff",
        "{root}\0-delete",
        "{root}/loop",
        "/sys/bus/platform/uevent",  # refuses to be read
    ],
)
def test_users_disk_over_anything_else_than_a_file_does_no_harm(
    host: Host, folder: StoreFolder, tmp_path: Path, backing: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    image = folder.put(GOLDEN)
    folder.layer("web", str(image))
    folder.layer("bad", backing.format(root=tmp_path))

    store = observe(host, scope=Scope())

    assert (set(store.uses), store.unreadable) == ({GOLDEN}, ())


def test_ending_of_a_users_file_may_have_any_character(
    host: Host, folder: StoreFolder
) -> None:
    folder.put(f"{OWN.removesuffix('.img')}.\u2028x")

    (image,) = observe(host, scope=Scope()).images

    assert image.kind is ImageKind.OWN
