"""The hash of a guest: it changes with what the guest is, and with nothing else.

A guest with another hash is made anew, so a hash that changes too often costs disks.
"""

import pytest

from orchestration.compose.catalogue import Catalogue, Image
from orchestration.state.build import Inputs, build_state
from orchestration.state.model import GuestState
from tests.orchestration.state.samples import HOSTS, build, identity, machine, spec_of

HASH_BASE = machine("g", "br0", setup_script="a.sh", environment={"A": "1", "B": "2"})


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(machine("g", "br0", environment={"A": "1", "B": "3"}), id="env"),
        pytest.param(machine("g", "br0", "br0", environment={}), id="interface"),
        pytest.param(machine("g", {"bridge": "br0", "ip": "10.1.1.1"}), id="address"),
        pytest.param(machine("g", "br0", name="ubuntu_22_04"), id="image"),
        pytest.param(machine("g", "br0", expand_gigabytes=1), id="disk"),
        pytest.param(machine("g", "br0", context="context"), id="context"),
        pytest.param(
            machine("g", "br0", environment={"A": "1", "B": "2"}, guest_agent=True),
            id="agent",
        ),
    ],
)
def test_spec_hash_changes_with_what_the_guest_is(changed: object) -> None:
    before = build(spec_of(HASH_BASE)).guests[0]

    assert build(spec_of(changed)).guests[0].spec_hash != before.spec_hash


def test_spec_hash_does_not_change_with_scripts_order_or_other_guests() -> None:
    before = build(spec_of(HASH_BASE)).guests[0]
    same = machine("g", "br0", environment={"B": "2", "A": "1"}, run_script="c.sh")

    after = build(spec_of(same, machine("other", "br0"))).guests[0]

    assert after.spec_hash == before.spec_hash


def test_spec_hash_changes_when_its_host_can_no_longer_accelerate() -> None:
    spec = spec_of(HASH_BASE)
    slower = HOSTS[0].model_copy(update={"domain_type": HOSTS[2].domain_type})

    before, after = build(spec, hosts=HOSTS[:1]), build(spec, hosts=[slower])

    assert before.guests[0].spec_hash != after.guests[0].spec_hash


def test_spec_hash_depends_on_the_image_and_not_on_where_it_comes_from() -> None:
    def built(**image: str) -> GuestState:
        catalogue = Catalogue([Image(name="test_guest", **image)])
        spec = spec_of(machine("g"))
        return build_state(
            spec, Inputs(), identity=identity(), hosts=HOSTS, catalogue=catalogue
        ).guests[0]

    here = built(path="/images/a.qcow2", sha256="5e" * 32)
    mirror = built(url="https://images.invalid/a", sha256="5e" * 32)
    newer = built(path="/images/a.qcow2", sha256="5f" * 32)

    assert (here.image.source, mirror.image.url) == (
        "/images/a.qcow2",
        "https://images.invalid/a",
    )
    assert here.spec_hash == mirror.spec_hash
    assert here.spec_hash != newer.spec_hash


def test_spec_hash_and_dump_of_an_interface_without_a_name_server_stay() -> None:
    guest = build(spec_of(HASH_BASE)).guests[0]

    dumped = guest.model_dump(mode="json")["interfaces"][0]

    assert "name_server" not in dumped


def test_virtio_is_not_hashed_so_that_older_guests_keep_theirs() -> None:
    guest = build(spec_of(machine("g", "br0"))).guests[0]

    (interface,) = guest.model_dump()["interfaces"]
    assert "model" not in interface
    assert "disk_bus" not in guest.model_dump()
