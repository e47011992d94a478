"""Users of an image: states, layers, domains, and those that cannot be known."""

from dataclasses import replace

import pytest

from orchestration.inventory.image_uses import Claims, Verdict, claims, judge, merged
from orchestration.inventory.images import ImageKind, Store, StoredImage, Use
from orchestration.state.model import HostState, State
from tests.orchestration.state.samples import build, machine, spec_of
from tests.orchestration.stores import BASE, GOLDEN, OWN

MAIN = HostState(name="host-a", is_main=True)
OTHER = HostState(name="host-b")
WEB = Use("demo", "web")


def stored(name: str) -> StoredImage:
    return StoredImage(name, ImageKind.GOLDEN, 1, 1, 1, 0.0, 0.0, inode=1)


def store(*names: str, **more: object) -> Store:
    return replace(Store("host-b", images=tuple(map(stored, names))), **more)


def verdict(found: Store, host: HostState = OTHER, **more: object) -> Verdict:
    (only,) = judge(found, host, more.pop("claimed", Claims()), **more)
    return only


def state(**changes: object) -> State:
    found = build(spec_of(machine("web", "br0"), bridges=("br0",)))
    (guest,) = found.guests
    return found.model_copy(update={"guests": (guest.model_copy(update=changes),)})


def test_state_needs_its_images_on_the_guests_host_and_on_main() -> None:
    found = claims([state(host="host-b")])

    assert set(found.uses) == {("host-b", BASE), ("host-a", BASE)}
    assert found.uses["host-b", BASE] == {WEB}


def test_disk_that_was_made_from_an_older_image_still_needs_it() -> None:
    older = "test_guest-0000000000000000.qcow2"
    guest = state().guests[0]
    markers = guest.markers.model_copy(update={"disk": older})

    found = claims([state(host="host-b", markers=markers)])

    assert {("host-b", older), ("host-a", older), ("host-b", BASE)} <= set(found.uses)


def test_clone_remembers_its_golden_image_with_its_content() -> None:
    guest = state().guests[0]
    markers = guest.markers.model_copy(update={"disk": f"{GOLDEN} 0123456789abcdef"})

    assert ("host-a", GOLDEN) in claims([state(markers=markers)]).uses


def test_golden_image_and_what_it_is_made_from_are_needed_on_main() -> None:
    found = with_golden()

    uses = claims([found]).uses

    assert uses["host-a", GOLDEN] == {Use("demo", "node")}
    assert Use("demo", "node") in uses["host-a", BASE]
    assert claims([found]).labels[GOLDEN] == "demo node"


def with_golden() -> State:
    found = state()
    guest = found.guests[0].model_copy(update={"name": "node"})
    image = guest.image.model_copy(
        update={
            "golden": "0123456789abcdef",
            "path": f"/images/{GOLDEN}",
            "main_path": f"/images/{GOLDEN}",
        }
    )
    golden = {"guest": guest, "image": image}
    fields = found.model_dump() | {"goldens": [golden]}
    return State.model_validate(fields)


def test_claims_of_many_testbeds_are_added() -> None:
    one, other = claims([state()]), claims([state(name="db")])

    assert merged([one, other]).uses["host-a", BASE] == {WEB, Use("demo", "db")}


def test_image_that_nobody_needs_is_unused() -> None:
    assert verdict(store(GOLDEN)).is_unused


def test_claim_counts_on_its_host_only() -> None:
    claimed = Claims({("host-b", GOLDEN): frozenset({WEB})})

    assert verdict(store(GOLDEN), claimed=claimed).uses == (WEB,)
    assert verdict(store(GOLDEN), HostState(name="host-c"), claimed=claimed).is_unused


def test_layer_or_domain_on_the_host_keeps_an_image() -> None:
    found = store(GOLDEN, uses={GOLDEN: frozenset({Use("", "ghost-web")})})

    assert verdict(found).uses == (Use("", "ghost-web"),)


def test_main_keeps_what_a_disk_anywhere_lies_over() -> None:
    elsewhere = [{GOLDEN: frozenset({WEB})}]

    assert not verdict(store(GOLDEN), MAIN, others=elsewhere).is_unused
    assert verdict(store(GOLDEN), OTHER, others=elsewhere).is_unused
    assert verdict(store(OWN), MAIN, others=elsewhere).is_unused


@pytest.mark.parametrize(
    "more",
    [
        {"unknown": ["the state of lab cannot be read"]},
        {"found": {"unreadable": ("/p/lab/artefacts/web-disk.qcow2",)}},
    ],
)
def test_unreadable_facts_keep_everything_and_are_named(
    more: dict[str, object],
) -> None:
    found = store(GOLDEN, **more.pop("found", {}))

    judged = verdict(found, **more)

    assert not judged.is_unused
    assert "lab" in judged.kept
