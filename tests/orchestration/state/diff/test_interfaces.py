"""Which changes of interfaces a guest can see while it runs, and why others not."""

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.state.diff.changes import Change, ChangeKind, diff
from orchestration.state.diff.deployed import union
from orchestration.state.diff.interfaces import HOTPLUG_ROOM
from orchestration.state.model import State
from tests.orchestration.state.samples import build, machine, spec_of

NO_DHCP = "address 10.64.112.16 by DHCP → none, gateway 10.64.112.1 → none"
MAC = "02:00:00:00:00:01"


def web(*interfaces: str | dict[str, str], management: bool = True) -> Spec:
    """One guest, and three bridges of which two reach the outside."""
    return spec_of(
        machine("web", *interfaces),
        bridges=("br0", "br1", "alone"),
        joined={"br0": "br1"},
        management=management,
    )


def own_disk(*bridges: str) -> Spec:
    disk = {"existing_disk": {"path": "own.img"}}
    libvirt = {"cpus": 1, "memory_mb": 64, "libvirt_type": disk}
    interfaces = [{"bridge": bridge} for bridge in bridges]
    own = {"name": "own", "interfaces": interfaces, "libvirt": libvirt}
    return spec_of(own, bridges=("br0", "br1"), joined={"br0": "br1"})


def states(old: Spec, new: Spec) -> tuple[State, State]:
    before = build(old)
    return before, build(new, previous=before)


def change(old: Spec, new: Spec) -> Change:
    (found,) = diff(*states(old, new)).guests
    return found


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        (web("br0"), web("br1"), ("eth0: bridge br0 → br1",)),
        (
            web("br0"),
            web("alone"),
            (f"eth0: bridge br0 → alone, {NO_DHCP}",),
        ),
        (web("br0"), web("br0", "alone"), ("eth1 on alone is new",)),
        (web("br0", "alone"), web("br0"), ("eth1 on alone goes",)),
        (
            web({"bridge": "alone", "ip": "10.9.0.2"}),
            web({"bridge": "alone", "ip": "10.9.0.3"}),
            ("eth0: address 10.9.0.2 → 10.9.0.3",),
        ),
        (web("br0"), web(), ("eth0 on br0 goes",)),
        (own_disk("br0"), own_disk("br1"), ("eth0: bridge br0 → br1",)),
    ],
)
def test_guest_keeps_running(old: Spec, new: Spec, reasons: tuple[str, ...]) -> None:
    found = change(old, new)

    assert (found.kind, found.reasons) == (ChangeKind.CHANGE_LIVE, reasons)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (web("br0"), web({"bridge": "br0", "mac": MAC}), "another MAC"),
        (web("br0"), web({"bridge": "br0", "model": "e1000"}), "another model"),
        (
            web("br0", management=False),
            web("br1", management=False),
            "without a management network no login is possible",
        ),
        (
            web("br0"),
            web("br0", *["alone"] * (HOTPLUG_ROOM + 1)),
            f"more than {HOTPLUG_ROOM} interfaces at once",
        ),
        (own_disk("br0"), own_disk("br0", "br1"), "a guest without cloud-init"),
        (own_disk("br0", "br1"), own_disk("br0"), "a guest without cloud-init"),
    ],
)
def test_guest_restarts_and_it_is_said_why(old: Spec, new: Spec, reason: str) -> None:
    found = change(old, new)

    assert found.kind is ChangeKind.RESTART
    assert reason in found.reasons[-1]


def test_guest_restarts_for_anything_else_that_changes_with_its_interfaces() -> None:
    new = spec_of(
        machine("web", "br1", environment={"MODE": "fast"}),
        bridges=("br0", "br1", "alone"),
        joined={"br0": "br1"},
    )

    found = change(web("br0"), new)

    assert found.kind is ChangeKind.RESTART
    assert found.reasons == ("environment: MODE", "eth0: bridge br0 → br1")


def test_unfinished_change_of_interfaces_is_gone_on_with_live() -> None:
    one, other = states(web("br0"), web("br1"))
    third = build(web("br0", "br0"), previous=other)
    known = union(one, other)

    on, back, further = (diff(known, s).guests for s in (other, one, third))

    assert {c.kind for c in (*on, *back, *further)} == {ChangeKind.CHANGE_LIVE}
    assert on[0].reasons == ("eth0: bridge br0 → br1",)
    assert back[0].reasons == ("a change of its interfaces was not finished",)
    assert further[0].reasons == ("eth1 on br0 is new",)
    assert diff(union(known, third), one).guests[0].kind is ChangeKind.CHANGE_LIVE


def test_unfinished_change_of_more_needs_a_restart() -> None:
    bigger = spec_of(
        machine("web", "br1", environment={"MODE": "fast"}),
        bridges=("br0", "br1", "alone"),
        joined={"br0": "br1"},
    )
    one, other = states(web("br0"), bigger)
    known = union(one, other)

    (back,) = diff(known, one).guests
    (moved,) = diff(union(known, one), build(web("br1"), previous=one)).guests

    assert {back.kind, moved.kind} == {ChangeKind.RESTART}
