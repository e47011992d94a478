"""Features that cannot be brought up yet are named in one sentence."""

import pytest

from orchestration.compose.language.built import built_guest, not_built, require_built
from orchestration.compose.language.schema import Spec
from orchestration.errors import NotBuiltYet
from tests.orchestration.compose.fakes import read_spec

IMAGE = {"cloud_image": {"name": "test_guest"}}


def guest(name: str, **libvirt: object) -> dict[str, object]:
    kind = {"cpus": 1, "memory_mb": 64, "libvirt_type": IMAGE, **libvirt}
    return {"name": name, "libvirt": kind}


def spec_of(*machines: object, **sections: object) -> Spec:
    return read_spec({"machines": list(machines), **sections})


def test_nothing_is_said_about_what_is_built() -> None:
    spec = spec_of(
        guest("a", username="student", password="secret"),
        guest("b", libvirt_type={"existing_disk": {"path": "disks/a.qcow2"}}),
        guest("c", libvirt_type={"iso_guest": {"path": "media/a.iso"}}),
        guest("d", scaling={"count": 0, "interfaces": []}),
        testbed_options={"load_balancing": "Balanced"},
        network={
            "network_interfaces": [
                {"nic_name": "eth1", "testbed_bridge": "b", "testbed_host": "h"}
            ]
        },
    )

    assert not_built(spec) == ""
    require_built(spec)
    assert built_guest(spec.machines[0]).username == "student"


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"name": "a", "docker": {"image": "nginx"}}, "guest a (`docker`)"),
        ({"name": "a", "avd": {}}, "guest a (`android`)"),
    ],
)
def test_guest_that_is_not_built_is_named(machine: object, words: str) -> None:
    sentence = not_built(spec_of(machine, guest("b")))

    assert sentence == f"This version cannot bring up {words}."


def test_guests_on_switches_are_named_with_all_their_reasons() -> None:
    box = {"name": "box", "docker": {"image": "nginx"}}
    network = {"ovn": {"switches": {"sw0": {"subnet": "10.0.0.0/24"}}}}

    sentence = not_built(spec_of(guest("a"), box, guest("b"), network=network))
    empty = not_built(spec_of(network=network))

    assert sentence == (
        "This version cannot bring up guests a, b (`ovn`); guest box (`docker`, `ovn`)."
    )
    assert empty == "This version cannot bring up the logical network (`ovn`)."


def test_everything_is_named_at_once_and_long_lists_are_cut() -> None:
    boxes = [{"name": f"box{n}", "docker": {"image": "x"}} for n in range(12)]

    with pytest.raises(NotBuiltYet) as refused:
        require_built(spec_of(*boxes, {"name": "phone", "avd": {}}))

    assert refused.value.message == (
        "This version cannot bring up guests box0, box1, box2, box3, box4, box5, "
        "box6, box7, box8, box9 and 2 more (`docker`); guest phone (`android`)."
    )
    assert refused.value.hint


def test_state_cannot_be_built_from_a_container() -> None:
    (machine,) = spec_of({"name": "box", "docker": {"image": "nginx"}}).machines

    with pytest.raises(NotBuiltYet, match=r"guest box \(`docker`\)"):
        built_guest(machine)
