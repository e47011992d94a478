"""Every way of writing becomes one form."""

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.compose.language.normal import address_at, mac_at, mac_number
from orchestration.compose.language.schema import (
    Android,
    Clone,
    CloudImage,
    DeviceType,
    DiskBus,
    Docker,
    DriverType,
    ExistingDisk,
    Interface,
    IsoGuest,
    Libvirt,
    Machine,
    Spec,
    Volume,
)
from orchestration.compose.loader import load_spec

IMAGE = {"cloud_image": {"name": "test_guest"}}
CARD = {"switch": "sw0", "mac": "52:54:00:00:00:0A", "ip": "10.0.0.5"}
MACHINE_CARD = Interface(attached_to="sw0", mac="52:54:00:00:00:0a", ip="10.0.0.5")


def spec_of(machine: object, **sections: object) -> Spec:
    loaded = load_spec(json.dumps({"machines": [machine], **sections}))
    assert loaded.findings == ()
    return loaded.require()


def only(machine: object) -> Machine:
    (found,) = spec_of(machine).machines
    return found


def libvirt(disk: object = IMAGE, **more: object) -> dict[str, object]:
    return {"cpus": 1, "memory_mb": 64, "libvirt_type": disk, **more}


@pytest.mark.parametrize("network", [CARD, [CARD]], ids=["a map", "a list"])
def test_switch_interface_is_the_same_as_map_and_list(network: object) -> None:
    machine = only({"name": "a", "network": network, "libvirt": libvirt()})

    assert machine.interfaces == (MACHINE_CARD,)


def test_bridge_and_switch_become_the_same_kind_of_interface() -> None:
    card = {"bridge": "sw0", "mac": "52:54:00:00:00:0a", "ip": "10.0.0.5"}

    machine = only({"name": "a", "interfaces": [card], "libvirt": libvirt()})

    assert machine.interfaces == (MACHINE_CARD,)


def test_dynamic_and_no_address_are_the_same() -> None:
    cards = [{"switch": "s", "ip": "dynamic"}, {"switch": "s"}]

    machine = only({"name": "a", "network": cards, "libvirt": libvirt()})

    assert machine.interfaces == (Interface(attached_to="s"),) * 2


NEW = {"android_api_version": 28, "playstore_enabled": True}


@pytest.mark.parametrize(
    "kind",
    [{"android": {"avd": NEW}}, {"avd": {"avd": NEW}}, {"avd": NEW}],
    ids=["android", "avd", "avd, directly"],
)
def test_both_spellings_of_android_are_the_same(kind: dict[str, object]) -> None:
    wanted = Android(android_api_version=28, playstore_enabled=True)

    assert only({"name": "a", **kind}).kind == wanted


def test_android_that_exists_and_one_without_options() -> None:
    there = {"name": "a", "android": {"existing_avd": {"path": "avd"}}}

    assert only(there).kind == Android(existing_avd="avd")
    assert only({"name": "a", "avd": {}}).kind == Android()


def test_disks_that_are_no_cloud_image() -> None:
    path = {"path": "a.img"}

    disk = only({"name": "a", "libvirt": libvirt({"existing_disk": path})}).kind
    iso = only({"name": "a", "libvirt": libvirt({"iso_guest": path})}).kind

    assert isinstance(disk, Libvirt)
    assert isinstance(iso, Libvirt)
    assert disk.libvirt_type == ExistingDisk(path="a.img")
    assert iso.libvirt_type == IsoGuest(path="a.img")


def test_every_key_of_an_existing_disk_arrives() -> None:
    written = {
        "path": "a.img",
        "driver_type": "raw",
        "driver": "scsi",
        "device_type": "cdrom",
        "readonly": True,
        "create_deep_copy": True,
    }

    kind = only({"name": "a", "libvirt": libvirt({"existing_disk": written})}).kind

    assert isinstance(kind, Libvirt)
    assert kind.libvirt_type == ExistingDisk(
        path="a.img",
        driver_type=DriverType.RAW,
        driver=DiskBus.SCSI,
        device_type=DeviceType.CDROM,
        readonly=True,
        create_deep_copy=True,
    )


def test_every_key_of_a_container_arrives() -> None:
    written = {
        "image": "nginx",
        "command": "sleep 1",
        "entrypoint": "/bin/sh",
        "environment": {"A": "1"},
        "env_file": "a.env",
        "volumes": [{"source": "${PWD}/a", "target": "/a"}],
        "privileged": True,
        "user": "nobody",
        "device": ["/dev/null"],
    }

    machine = only({"name": "a", "docker": written})

    expected = written | {"volumes": (Volume(source="${PWD}/a", target="/a"),)}
    assert machine.kind == Docker(**expected)


def test_account_arrives() -> None:
    account = {"username": "student", "password": "secret"}

    kind = only({"name": "a", "libvirt": libvirt(**account)}).kind

    assert kind == Libvirt(
        cpus=1, memory_mb=64, libvirt_type=CloudImage(name="test_guest"), **account
    )


def test_clones_on_bridges_have_an_interface_on_each() -> None:
    scaling = {
        "count": 2,
        "shared_setup": "shared.sh",
        "interfaces": [
            {"bridge": "br0", "clones": [0, 1]},
            {"bridge": "br1", "clones": [1]},
        ],
        "clone_setup": [
            {"script": "all.sh", "clones": [0, 1]},
            {"script": "last.sh", "clones": [1]},
        ],
        "clone_run": [{"script": "run.sh", "clones": [0]}],
    }

    found = only({"name": "a", "libvirt": libvirt(scaling=scaling)}).scaling

    first, second = Interface(attached_to="br0"), Interface(attached_to="br1")
    assert found is not None
    assert found.shared_setup == "shared.sh"
    assert found.clones == (
        Clone(interfaces=(first,), setup_script="all.sh", run_script="run.sh"),
        Clone(interfaces=(first, second), setup_script="last.sh"),
    )


def test_clones_on_switches_count_by_their_place_in_the_list() -> None:
    scaling = {
        "count": 3,
        "interfaces": {
            "a": {
                "clones": [2, 0],
                "gateway": "10.0.0.1",
                "ip_type": {"ip_range": {"from": "10.0.0.255", "to": "10.0.1.0"}},
                "mac_range": {"from": "52:54:00:00:00:FF", "to": "52:54:00:00:01:00"},
            },
            "b": {"clones": [0, 1], "ip_type": "dynamic"},
        },
    }

    found = only({"name": "a", "docker": {"image": "x", "scaling": scaling}}).scaling

    assert found is not None
    assert [clone.interfaces for clone in found.clones] == [
        (
            Interface(
                attached_to="a",
                mac="52:54:00:00:01:00",
                ip="10.0.1.0",
                gateway="10.0.0.1",
            ),
        ),
        (Interface(attached_to="b"),),
        (
            Interface(
                attached_to="a",
                mac="52:54:00:00:00:ff",
                ip="10.0.0.255",
                gateway="10.0.0.1",
            ),
        ),
    ]


def test_too_many_clones_are_refused_before_any_is_made() -> None:
    scaling = {"count": 4000, "interfaces": []}
    machines = [
        {"name": f"m{n}", "libvirt": libvirt(scaling=scaling)} for n in range(100)
    ]

    loaded = load_spec(json.dumps({"machines": machines}))

    assert [f.message for f in loaded.errors] == [
        "From here on there are more than 10000 guests."
    ]
    assert len(loaded.draft.machines) == 2
    assert (
        load_spec(
            '{"machines": [{"name": "a", "docker": {"image": "x", "scaling": '
            '{"count": 1000000000, "interfaces": []}}}]}'
        ).spec
        is None
    )


@pytest.mark.parametrize(
    ("first", "offset", "found"),
    [
        ("10.0.0.255", 1, "10.0.1.0"),
        ("255.255.255.255", 1, None),
        ("fd00::1", 0, None),
        ("x", 0, None),
    ],
)
def test_address_is_counted_or_left_out(
    first: str, offset: int, found: str | None
) -> None:
    assert address_at(first, offset) == found


@pytest.mark.parametrize(
    "mac", ["", "52:54:00:00:00", "52:54:0:0:0:1", "zz:54:00:00:00:01", "router"]
)
def test_text_that_is_no_mac_has_no_number(mac: str) -> None:
    assert mac_number(mac) is None
    assert mac_at(mac, 1) is None


def test_last_mac_has_none_behind_it() -> None:
    assert mac_at("ff:ff:ff:ff:ff:ff", 0) == "ff:ff:ff:ff:ff:ff"
    assert mac_at("ff:ff:ff:ff:ff:ff", 1) is None


@settings(max_examples=60, deadline=None)
@given(
    st.permutations(range(6)),
    st.integers(0, 2**32 - 7),
    st.integers(0, 2**48 - 7),
)
def test_counted_addresses_and_macs_are_unique_and_inside_their_ranges(
    clones: list[int], address: int, mac: int
) -> None:
    def shown(number: int) -> str:
        return number.to_bytes(6).hex(":")

    first, last = str(IPv4Address(address)), str(IPv4Address(address + 5))
    scaling = {
        "count": 6,
        "interfaces": {
            "s": {
                "clones": clones,
                "ip_type": {"ip_range": {"from": first, "to": last}},
                "mac_range": {"from": shown(mac), "to": shown(mac + 5)},
            }
        },
    }

    found = only({"name": "a", "libvirt": libvirt(scaling=scaling)}).scaling

    assert found is not None
    cards = [clone.interfaces[0] for clone in found.clones]
    assert cards[clones[0]].ip == first
    assert cards[clones[-1]].ip == last
    assert len({card.ip for card in cards}) == 6
    assert {card.mac for card in cards} == {shown(mac + n) for n in range(6)}
