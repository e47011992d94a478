"""A host's inventory: everything with our tags, one look, nothing of others."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestration.hosts import Host
from orchestration.inventory.things import Inventory, Thing, ThingKind, observe
from orchestration.transport.base import (
    Command,
    Completed,
    Scope,
    Transport,
    command,
)
from orchestration.transport.local import LocalTransport
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.providers.libvirt.samples import network_names


@pytest.fixture(name="up")
def _up(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.up()
    yield rehearsal
    rehearsal.hosts.close()


def seen(rehearsal: Rehearsal, host: str) -> Inventory:
    opened = rehearsal.hosts.open(rehearsal.state.host(host))
    return observe(opened, scope=Scope())


def words(inventory: Inventory) -> set[str]:
    return {f"{t.kind} {t.name} {t.label} {t.place}" for t in inventory.things}


def test_everything_that_up_made_is_listed_with_its_testbed(up: Rehearsal) -> None:
    main, other = seen(up, "host-a"), seen(up, "host-b")

    assert words(main) == {
        "domain t7-a a ",
        "port t7v0 br0/br1 t7-br0",
        "port t7vb t7vb t7-br0",
        "bridge t7-br0 br0 ",
        "link t7vn  t7nat",
        "link t7vb  ",
        "network t7-nat  t7nat",
        "network t7-mgmt  t7mgmt",
        f"folder demo  {up.folder / 'testbeds'}",
    }
    assert words(other) == {
        "domain t7-b b ",
        "port t7v0 br0/br1 t7-br1",
        "bridge t7-br1 br1 ",
        "network t7-mgmt  t7mgmt",
        "folder demo  /srv/projects",
    }
    assert {thing.testbed for thing in (*main.things, *other.things)} == {"demo"}
    assert all(thing.is_active for thing in main.things)


def test_domain_that_is_off_and_network_that_is_stopped_are_not_active(
    up: Rehearsal,
) -> None:
    conn = up.hosts.open(up.state.main).libvirt
    conn.call("x", lambda h: h.lookupByName("t7-a").destroy(), changes=True)
    conn.call("x", lambda h: h.networkLookupByName("t7-nat").destroy(), changes=True)

    inventory = seen(up, "host-a")

    off = {t.name for t in inventory.things if not t.is_active}
    assert off == {"t7-a", "t7-nat"}


def test_thing_without_our_tag_is_not_listed(up: Rehearsal) -> None:
    host = up.hosts.open(up.state.main)
    vsctl = ("ovs-vsctl", "--", "add-br", "br-lab", "--", "add-port", "br-lab", "eth7")
    host.transport.run(command(*vsctl), scope=Scope())
    veth = "ip link add docker0 type veth peer name docker1"
    host.transport.run(command(*veth.split()), scope=Scope())
    xml = "<network><name>default</name></network>"
    host.libvirt.call("x", lambda h: h.networkDefineXML(xml), changes=True)
    (up.folder / "testbeds" / "notes").mkdir()
    before = words(seen(up, "host-a"))

    assert not {w for w in before if "lab" in w or "docker" in w or "notes" in w}
    assert "default" in network_names(host.libvirt)
    assert not {w for w in before if "default" in w}


def test_mirror_of_a_capture_is_no_thing_of_its_own(up: Rehearsal) -> None:
    host = up.hosts.open(up.state.main)
    before = words(seen(up, "host-a"))
    ids = ("external_ids:testbed=demo", "external_ids:capture=demo.r1.b1.t0")
    add = ("--", "add-port", "t7-br0", "t7c1", "--", "set", "Port", "t7c1", *ids)
    host.transport.run(command("ovs-vsctl", *add), scope=Scope())

    inventory = seen(up, "host-a")

    assert words(inventory) == before
    assert "t7c1" in inventory.ports


def test_veth_whose_testbed_nobody_knows_any_more_has_only_its_number(
    tmp_path: Path,
) -> None:
    rehearsal = Rehearsal(tmp_path)
    host = rehearsal.hosts.open(rehearsal.state.main)
    veth = "ip link add t9vn type veth peer name t9vb"
    host.transport.run(command(*veth.split()), scope=Scope())

    found = [t for t in observe(host, scope=Scope()).things if t.kind is ThingKind.LINK]

    assert {(thing.name, thing.testbed) for thing in found} == {
        ("t9vn", ""),
        ("t9vb", ""),
    }
    rehearsal.hosts.close()


def test_inventory_is_empty_after_down_but_for_the_folders(up: Rehearsal) -> None:
    up.down()

    assert [t.kind for t in seen(up, "host-a").things] == [ThingKind.FOLDER]
    assert [t.kind for t in seen(up, "host-b").things] == [ThingKind.FOLDER]


def test_names_are_those_of_one_testbed_and_kind() -> None:
    mine = Thing(ThingKind.BRIDGE, "t1-x", "one")
    other = Thing(ThingKind.BRIDGE, "t2-x", "two")
    port = Thing(ThingKind.PORT, "t1p0a", "one")

    inventory = Inventory((mine, other, port))

    assert inventory.names(ThingKind.BRIDGE, "one") == {"t1-x": mine}


class Finding(LocalTransport):
    """A machine with real files, of which everything else is simulated."""

    def __init__(self, simulated: Transport) -> None:
        super().__init__(simulated.machine)
        self.simulated = simulated

    def run(self, cmd: Command, **options: Any) -> Completed:
        if cmd.argv[0] == "find":
            return super().run(replace(cmd, as_root=False), **options)
        return self.simulated.run(cmd, **options)


@pytest.mark.parametrize("name", ["host-a", "host-b"])
def test_disks_and_seeds_in_the_folders_are_listed(up: Rehearsal, name: str) -> None:
    root = up.folder / "files"
    for path in ("lab/artefacts/web-disk.qcow2", "lab/artefacts/web-seed.iso"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * 5000)
    for path in ("lab/artefacts/web-domain.xml", "lab/other-disk.qcow2"):
        (root / path).touch()
    opened = up.hosts.open(up.state.host(name))
    state = opened.state.model_copy(update={"projects_dir": str(root)})
    host = Host(state, Finding(opened.transport), opened.libvirt)

    inventory = observe(host, scope=Scope())

    taken = (root / "lab/artefacts/web-disk.qcow2").stat().st_blocks * 512
    assert taken >= 5000
    assert inventory.files == {
        ("lab", "web-disk.qcow2"): taken,
        ("lab", "web-seed.iso"): taken,
    }
    folders = [t.name for t in inventory.things if t.kind is ThingKind.FOLDER]
    assert folders == ["lab"]


def test_files_of_a_host_are_listed_with_one_command(up: Rehearsal) -> None:
    before = len(up.asked("host-b"))

    seen(up, "host-b")

    asked = [line.split()[0] for line in up.asked("host-b")[before:]]
    assert asked == ["ovs-vsctl", "ip", "find", *["nft"] * 2]


def test_files_that_cannot_be_listed_are_unknown(up: Rehearsal) -> None:
    up.break_("host-b", {"find": {"exit_code": 1, "stderr": "find: Permission denied"}})

    assert seen(up, "host-b").files is None


def test_files_are_known_to_be_gone_with_their_folder(up: Rehearsal) -> None:
    gone = "find: '/srv/projects': No such file or directory"
    up.break_("host-b", {"find": {"exit_code": 1, "stderr": gone}})

    assert seen(up, "host-b").files == {}
