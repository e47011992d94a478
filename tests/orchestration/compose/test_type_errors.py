"""A machine with one mistake is still judged by the rules."""

import pytest

from orchestration.compose.type_errors import mended


def test_sizes_get_a_stand_in_and_options_are_left_out() -> None:
    disk = {"cloud_image": {"setup_script": 3, "environment": {"A": 1, "B": "b"}}}
    kind = {"memory_mb": "64", "libvirt_type": disk}
    machine = {"name": "a", "libvirt": kind}
    below = ("libvirt", "libvirt_type", "cloud_image")
    places = [
        ("libvirt", "cpus"),
        ("libvirt", "memory_mb"),
        (*below, "setup_script"),
        (*below, "environment", "A"),
    ]

    got = mended(machine, places)

    image = {"environment": {"B": "b"}}
    want = {"cpus": 1, "memory_mb": 64, "libvirt_type": {"cloud_image": image}}
    assert got == {"name": "a", "libvirt": want}
    assert kind["memory_mb"] == "64"


@pytest.mark.parametrize(
    "place",
    [
        (),
        ("name",),
        ("libvirt", "libvirt_type"),
        ("interfaces", 0),
        ("interfaces", 0, "mac", "deeper"),
    ],
)
def test_entry_that_a_rule_needs_is_not_mended(place: tuple[str | int, ...]) -> None:
    machine = {"name": 3, "interfaces": [{"bridge": "br0"}], "libvirt": {}}

    assert mended(machine, [place]) is None
