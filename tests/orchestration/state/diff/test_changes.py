"""Differences of two states: expected texts, and what must hold for any two."""

from hypothesis import given, settings

from orchestration.compose.language.schema import Spec
from orchestration.plan.resources import (
    bridge_resources,
    guest_resources,
    link_resources,
    network_resources,
)
from orchestration.state.diff.changes import ChangeKind, Changes, diff
from orchestration.state.model import HostState, State
from tests.golden import Golden
from tests.orchestration.compose.fakes import read_spec
from tests.orchestration.state.samples import EXPECTED, build, machine, spec_of
from tests.orchestration.state.strategies import NUMBER, inventories, specs

every_time = settings(deadline=None, max_examples=60, derandomize=True)


def sized(name: str, *bridges: str, cpus: int = 1, memory: int = 128) -> object:
    found = machine(name, *bridges)
    assert isinstance(found, dict)
    found["libvirt"] |= {"cpus": cpus, "memory_mb": memory}
    return found


# So that a tunnel more or less changes no MTU.
TUNNELLED = 1450


def changed(old: Spec, new: Spec) -> tuple[State, Changes]:
    before = build(old, most_mtu=TUNNELLED)
    after = build(new, previous=before, most_mtu=TUNNELLED)
    return before, diff(before, after)


def test_edits_of_guests_are_as_reviewed(golden: Golden) -> None:
    old = spec_of(
        machine("web", "br0"),
        machine("db", "br0"),
        machine("old", "br0"),
        machine("image", "br0"),
        machine("script", "br0", run_script="one.sh"),
        machine("cards", "br0"),
        machine("moved", "br0", "br0"),
        machine("same", "br0"),
    )
    new = spec_of(
        sized("web", "br0", cpus=2, memory=256),
        machine("db", "br0", environment={"MODE": "fast"}, guest_agent=True),
        machine("image", "br0", name="ubuntu_22_04", expand_gigabytes=4),
        machine("script", "br0", run_script="two.sh"),
        machine("cards", {"bridge": "br0", "mac": "02:00:00:00:00:01"}, "br1", "br0"),
        machine("moved", "br1"),
        machine("same", "br0"),
        machine("fresh", "br0"),
        bridges=("br0", "br1"),
    )

    golden(changed(old, new)[1].to_text(), EXPECTED / "guests.changes.txt")


def test_edits_of_the_users_disks_say_which_need_another_one() -> None:
    def spec(**keys: object) -> Spec:
        disk = {"existing_disk": {"path": "own.img", **keys}}
        libvirt = {"cpus": 1, "memory_mb": 64, "libvirt_type": disk}
        return spec_of({"name": "own", "libvirt": libvirt})

    copied = changed(spec(), spec(create_deep_copy=True))[1].to_text()
    fixed = changed(spec(), spec(readonly=True))[1].to_text()
    disc = changed(spec(), spec(device_type="cdrom"))[1].to_text()
    sata = changed(spec(), spec(driver="sata"))[1].to_text()

    assert "disk linked → copied, its disk will be erased" in copied
    assert "its disk is read-only" in fixed
    assert "its disk is a CD-ROM, read-only" in disc
    assert "disk driver virtio → sata" in sata
    assert "erased" not in fixed + disc + sata


def test_edits_of_the_network_are_as_reviewed(golden: Golden) -> None:
    old = spec_of(
        machine("a", "br0"),
        machine("b", "br1"),
        bridges=("br0", "br1", "gone"),
        joined={"br0": "br1", "gone": "br0"},
    )
    new = read_spec(
        {
            "machines": [machine("a", "br0"), machine("b", "br1")],
            "network": {
                "bridges": [
                    {"name": "br0", "protocol": "OpenFlow13"},
                    {"name": "br1"},
                    {"name": "br2"},
                ],
                "bridge_connections": {"br0": "br1", "br1": "br2", "br2": "br0"},
                "external_bridge": "br1",
            },
            "testbed_options": {"management_network": False},
        }
    )

    golden(changed(old, new)[1].to_text(), EXPECTED / "network.changes.txt")


def test_guests_whose_bridge_moves_say_so() -> None:
    spec = spec_of(machine("a", "br0"), machine("b", "br1"), bridges=("br0", "br1"))
    before = build(spec)
    here = {guest.name: guest.host for guest in before.guests}
    assert here == {"a": "host-a", "b": "host-b"}

    changes = diff(before, build(spec, hosts=before.hosts[:1]))

    assert [(c.kind, c.name, c.host, c.reasons) for c in changes.guests] == [
        (
            ChangeKind.REMOVE,
            "b",
            "host-b",
            ("touched because its bridge br1 moves to host-a",),
        ),
        (
            ChangeKind.RECREATE,
            "b",
            "host-a",
            ("moves from host-b; its disk will be erased",),
        ),
    ]


def test_renamed_guest_is_removed_and_created() -> None:
    old = spec_of(machine("db", "br0"), machine("web", "br0"))
    new = spec_of(machine("store", "br0"), machine("web", "br0"))

    changes = changed(old, new)[1]

    assert [(c.kind, c.name) for c in changes.guests] == [
        (ChangeKind.REMOVE, "db"),
        (ChangeKind.CREATE, "store"),
    ]
    assert changes.untouched == ("web",)


def test_edited_script_needs_no_restart() -> None:
    old = build(spec_of(machine("a", "br0", setup_script="s.sh")))
    script = old.guests[0].setup_script
    assert script is not None
    edited = script.model_copy(update={"sha256": "1" * 64})
    guest = old.guests[0].model_copy(update={"setup_script": edited})

    changes = diff(old, old.model_copy(update={"guests": (guest,)}))

    assert [(c.kind, c.reasons) for c in changes.guests] == [
        (ChangeKind.CHANGE, ("setup script s.sh was edited",))
    ]


def test_renewed_image_keeps_the_disk() -> None:
    old = build(spec_of(machine("a", "br0")))
    image = old.guests[0].image.model_copy(update={"path": "/x", "sha256": "6e" * 32})
    guest = old.guests[0].model_copy(update={"image": image, "spec_hash": "other"})

    changes = diff(old, old.model_copy(update={"guests": (guest,)}))

    assert [(c.kind, c.reasons) for c in changes.guests] == [
        (ChangeKind.RESTART, ("image test_guest was renewed; its disk stays",))
    ]


@every_time
@given(specs(), inventories())
def test_nothing_differs_from_itself(spec: Spec, hosts: tuple[HostState, ...]) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)
    again = build(spec, hosts=hosts, number=NUMBER, previous=state)

    for changes in (diff(state, state), diff(state, again)):
        assert changes.is_empty
        assert changes.untouched == tuple(guest.name for guest in state.guests)


@every_time
@given(specs(), specs(), inventories())
def test_any_two_differ_in_things_that_are_theirs(
    one: Spec, other: Spec, hosts: tuple[HostState, ...]
) -> None:
    old = build(one, hosts=hosts, number=NUMBER)
    new = build(other, hosts=hosts, number=NUMBER, previous=old)

    changes = diff(old, new)

    assert diff(old, new) == changes
    assert diff(old, new).to_text() == changes.to_text()
    for found, things in (
        (changes.guests, lambda state: guest_resources(state.guests)),
        (changes.bridges, bridge_resources),
        (changes.links, link_resources),
        (changes.networks, network_resources),
    ):
        before, after = ({(r.host, r.key) for r in things(s)} for s in (old, new))
        gone = {(c.host, c.key) for c in found if c.kind is ChangeKind.REMOVE}
        kept = {(c.host, c.key) for c in found if c.kind is not ChangeKind.REMOVE}
        assert before - after <= gone <= before
        assert after - before <= kept <= after
        assert all(change.reasons for change in found)
    touched = {change.name for change in changes.guests}
    for name in set(changes.untouched):
        assert name not in touched
        assert old.guest(name).spec_hash == new.guest(name).spec_hash
