"""Golden images in the state: when there is one, and what makes it another one.

Its name follows from its definition, its scripts and its context, and from nothing
else. The clones over it are in test_clones.py.
"""

from dataclasses import replace

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.state.build import Inputs, build_state
from orchestration.state.clones import context_key
from orchestration.state.diff.changes import ChangeKind, diff
from orchestration.state.model import State
from orchestration.state.model.images import DiskOrigin
from tests.orchestration.state.samples import (
    CATALOGUE,
    HOSTS,
    build,
    identity,
    machine,
    scaled,
    spec_of,
    workers,
)


def with_digests(spec: Spec, **scripts: str) -> State:
    digests = {f"{name}.sh": digest for name, digest in scripts.items()}
    return build_state(
        spec,
        Inputs(script_sha256={**digests, context_key("ctx"): scripts.get("ctx", "")}),
        identity=identity(),
        hosts=HOSTS[:2],
        catalogue=CATALOGUE,
    )


def owned(spec: Spec, owner: str, previous: State | None = None) -> State:
    return build_state(
        spec,
        Inputs(script_sha256={"s.sh": "00", "other.sh": "01"}),
        identity=replace(identity(), golden_owner=owner),
        hosts=HOSTS[:2],
        catalogue=CATALOGUE,
        previous=previous,
    )


def test_a_golden_image_that_is_started_leads_outside_and_to_its_host() -> None:
    (golden,) = build(workers(1, shared_setup="s.sh")).goldens

    (card,) = golden.guest.interfaces
    assert golden.is_started
    assert (card.bridge, card.dhcp) == ("br0", True)
    assert golden.guest.management is not None
    assert golden.guest.setup_script is not None
    assert golden.guest.setup_script.path == "s.sh"


def test_without_shared_script_nothing_is_prepared_and_nothing_reserved() -> None:
    state = build(workers(2))

    (golden,) = state.goldens
    assert not golden.is_prepared
    assert not golden.is_started
    assert golden.guest.interfaces == ()
    assert golden.guest.management is None
    assert {g.image.path for g in state.guests} == {golden.image.path}
    nat = state.network.nat
    assert nat is not None
    assert len(nat.reservations) == 2


def test_without_clones_there_is_no_golden_image_either() -> None:
    state = build(workers(0, shared_setup="s.sh"))

    assert state.guests == state.goldens == ()


def test_a_deep_copy_is_made_once_and_shared() -> None:
    node = scaled("node", ["br0"], ["br0"])
    assert isinstance(node, dict)
    node["libvirt"]["libvirt_type"] = {
        "existing_disk": {"path": "own.qcow2", "create_deep_copy": True}
    }

    state = build(spec_of(node))

    (golden,) = state.goldens
    assert golden.is_prepared
    assert not golden.is_started
    assert golden.guest.disk_origin is DiskOrigin.COPIED
    assert {(g.image.path, g.disk_origin) for g in state.guests} == {
        (golden.image.path, DiskOrigin.LINKED)
    }


def test_the_same_definition_is_the_same_image_in_any_testbed() -> None:
    spec = workers(1, shared_setup="s.sh")

    one, other = build(spec, name="one", number=1), build(spec, name="two", number=2)

    assert one.goldens[0].image == other.goldens[0].image


def test_the_same_definition_of_another_owner_is_another_image() -> None:
    spec = workers(1, shared_setup="s.sh")

    images = {owner: owned(spec, owner).goldens[0].image for owner in ("", "1", "2")}

    assert len({image.path for image in images.values()}) == 3
    assert owned(spec, "1").goldens[0].image == images["1"]


def test_image_stays_when_only_its_owner_changes() -> None:
    before = owned(workers(1, shared_setup="s.sh"), "1")

    same = owned(workers(1, shared_setup="s.sh"), "2", previous=before)
    edited = owned(workers(1, shared_setup="other.sh"), "2", previous=before)

    assert same.goldens == before.goldens
    assert [g.image for g in same.guests] == [g.image for g in before.guests]
    assert (before.goldens[0].owner, edited.goldens[0].owner) == ("1", "2")


@pytest.mark.parametrize(
    "keys",
    [
        {"name": "ubuntu_22_04"},
        {"expand_gigabytes": 1},
        {"environment": {"MODE": "fast"}},
        {"context": "ctx"},
    ],
)
def test_another_definition_is_another_image(keys: dict[str, object]) -> None:
    node = scaled("node", ["br0"], shared_setup="s.sh")
    assert isinstance(node, dict)
    before = with_digests(spec_of(node), ctx="c0")
    node["libvirt"]["libvirt_type"]["cloud_image"] |= keys
    spec = spec_of(node)

    after = with_digests(spec, ctx="c0")

    assert after.goldens[0].image.golden != before.goldens[0].image.golden


def test_another_context_is_another_image() -> None:
    node = scaled("node", ["br0"], shared_setup="s.sh")
    assert isinstance(node, dict)
    node["libvirt"]["libvirt_type"]["cloud_image"]["context"] = "ctx"
    spec = spec_of(node)

    one, other = with_digests(spec, ctx="00"), with_digests(spec, ctx="01")

    assert one.goldens[0].image.golden != other.goldens[0].image.golden


def test_another_shared_script_makes_the_clones_anew_and_no_other_guest() -> None:
    spec = workers(2, machine("web", "br0"), shared_setup="s.sh")
    before, after = with_digests(spec, s="00"), with_digests(spec, s="01")

    changes = diff(before, after)

    assert [(c.name, c.kind) for c in changes.guests] == [
        ("node-0", ChangeKind.RECREATE),
        ("node-1", ChangeKind.RECREATE),
    ]
    assert changes.guests[0].reasons == (
        "its golden image node changed",
        "its disk will be erased",
        "shared script s.sh was edited",
    )
    assert changes.untouched == ("web",)
