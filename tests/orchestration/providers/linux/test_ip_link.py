"""Veth pairs: what is read, what is said, and how failures are told."""

import json

import pytest

from orchestration.errors import NetworkFailed, NotEnoughSpace
from orchestration.providers.linux import ip_link
from orchestration.transport.base import Scope, command
from tests.fakes import FakeTransport, Reply

SHOW = "ip -json link show type veth"
SILENT = str(command("sh", "-c", ip_link.SILENCE_HOST, "sh", "a", "b"))


def veths(*rows):
    return json.dumps(
        [
            {"ifname": name, "link": peer, "flags": flags.split(), "master": master}
            for name, peer, flags, master in rows
        ]
        + [{}]
    )


def ensure(host):
    return ip_link.ensure_veth(host, "a", "b", master_of_a="virbr0", scope=Scope())


def test_missing_pair_is_made_with_offload_off_before_it_is_up():
    steps = [
        "ip link add a type veth peer name b",
        "ip link set dev a master virbr0",
        SILENT,
        "ethtool -K a tx off",
        "ip link set dev a up",
        "ethtool -K b tx off",
        "ip link set dev b up",
    ]
    host = FakeTransport("host-a", [(SHOW, "[]"), *((step, "") for step in steps)])

    assert ensure(host)
    assert host.lines == [SHOW, *steps]
    assert all(cmd.as_root for cmd in host.calls)


def test_pair_carries_jumbo_frames_where_guests_have_them():
    plain = veths(("a", "b", "UP", "virbr0"), ("b", "a", "UP", ""))
    steps = [
        "ip link set dev a master virbr0",
        SILENT,
        "ip link set dev a mtu 8950",
        "ethtool -K a tx off",
        "ip link set dev a up",
        "ip link set dev b mtu 8950",
        "ethtool -K b tx off",
        "ip link set dev b up",
    ]
    host = FakeTransport("host-a", [(SHOW, plain), *((step, "") for step in steps)])
    wide = plain.replace('"flags"', '"mtu": 9000, "flags"')
    there = FakeTransport("host-a", [(SHOW, wide)])
    jumbo = {"master_of_a": "virbr0", "mtu": 8950, "scope": Scope()}

    assert ip_link.ensure_veth(host, "a", "b", **jumbo)
    assert host.lines == [SHOW, *steps]
    assert not ip_link.ensure_veth(there, "a", "b", **jumbo)


def test_pair_without_a_bridge_of_its_own_is_only_set_up():
    steps = [
        "ip link add a type veth peer name b",
        SILENT,
        "ethtool -K a tx off",
        "ip link set dev a up",
        "ethtool -K b tx off",
        "ip link set dev b up",
    ]
    host = FakeTransport("host-a", [(SHOW, "[]"), *((step, "") for step in steps)])
    rows = veths(("a", "b", "UP", "ovs-system"), ("b", "a", "UP", "ovs-system"))
    there = FakeTransport("host-a", [(SHOW, rows)])

    assert ip_link.ensure_veth(host, "a", "b", scope=Scope())
    assert host.lines == [SHOW, *steps]
    assert not ip_link.ensure_veth(there, "a", "b", scope=Scope())


def test_complete_pair_is_only_read():
    rows = veths(("a", "b", "UP", "virbr0"), ("b", "a", "UP", ""))
    host = FakeTransport("host-a", [(SHOW, rows)])

    assert not ensure(host)
    assert host.lines == [SHOW]


@pytest.mark.parametrize(
    "rows",
    [
        [("a", "b", "UP", "other"), ("b", "a", "UP", "")],
        [("a", "b", "UP", "virbr0"), ("b", "a", "", "")],
    ],
    ids=["wrong master", "an end is down"],
)
def test_pair_that_differs_is_mended_without_being_made_anew(rows):
    host = FakeTransport(
        "host-a",
        [
            (SHOW, veths(*rows)),
            ("ip link set dev a master virbr0", ""),
            (SILENT, ""),
            ("ethtool -K a tx off", ""),
            ("ip link set dev a up", ""),
            ("ethtool -K b tx off", ""),
            ("ip link set dev b up", ""),
        ],
    )

    assert ensure(host)


def test_half_of_another_pair_is_removed_first():
    host = FakeTransport(
        "host-a",
        [
            (SHOW, veths(("a", "elsewhere", "UP", "virbr0"))),
            ("ip link delete dev a", ""),
            ("ip link add a type veth peer name b", ""),
            ("ip link set dev a master virbr0", ""),
            (SILENT, ""),
            ("ethtool -K a tx off", ""),
            ("ip link set dev a up", ""),
            ("ethtool -K b tx off", ""),
            ("ip link set dev b up", ""),
        ],
    )

    assert ensure(host)
    assert not host.unused


def test_failure_names_the_link_the_host_and_what_was_said():
    host = FakeTransport(
        "host-a",
        [
            (SHOW, ""),
            ("ip link add a type veth peer name b", Reply(stderr="no", exit_code=2)),
        ],
    )

    with pytest.raises(NetworkFailed, match=r"a to b.*host-a") as failed:
        ensure(host)
    assert failed.value.detail.splitlines()[-1] == "no"


def test_full_file_system_is_told_as_such():
    full = Reply(stderr="ip: write: No space left on device", exit_code=1)
    host = FakeTransport("host-a", [(SHOW, full)])

    with pytest.raises(NotEnoughSpace, match="host-a is full"):
        ensure(host)


def test_deleting_what_is_not_there_changes_nothing():
    gone = Reply(stderr='Cannot find device "a"\n', exit_code=1)
    busy = Reply(stderr="RTNETLINK answers: Operation not supported", exit_code=2)
    host = FakeTransport(
        "host-a", [("ip link delete dev a", gone), ("ip link delete dev b", busy)]
    )

    assert not ip_link.delete_link(host, "a", scope=Scope())
    with pytest.raises(NetworkFailed, match="device b could not be removed"):
        ip_link.delete_link(host, "b", scope=Scope())


def test_addresses_are_listed_per_device():
    rows = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "prefixlen": 8}]},
        {"ifname": "eth0", "addr_info": []},
    ]
    host = FakeTransport("host-a", [("ip -json address show", json.dumps(rows))])

    found = ip_link.addresses(host, scope=Scope())

    assert found == {"lo": ("127.0.0.1/8",), "eth0": ()}


def test_devices_are_listed_with_what_they_carried():
    counts = {
        "rx": {"bytes": 7, "packets": 1, "errors": 5, "dropped": 2},
        "tx": {"bytes": 9, "packets": 3},
    }
    shown = [{"ifname": "t1g0i0", "stats64": counts}, {"ifname": "lo"}]
    listed = ("ip -json -statistics link show", json.dumps(shown))

    found = ip_link.links(
        FakeTransport("host-a", [listed]), scope=Scope(), counted=True
    )

    tap = found["t1g0i0"]
    assert (tap.received_bytes, tap.sent_bytes) == (7, 9)
    assert (tap.received_packets, tap.sent_packets) == (1, 3)
    assert (tap.received_dropped, tap.sent_dropped) == (2, 0)
    assert (found["lo"].received_bytes, found["lo"].sent_bytes) == (0, 0)
