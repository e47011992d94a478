"""Each requirement by itself: what its row says, and the command that mends it."""

from collections.abc import Callable

import pytest

from orchestration.errors import CommandTimedOut, HostUnreachable
from orchestration.state.model import Claim, ClaimKind, HostNetwork
from orchestration.transport.base import Completed
from testbed.hosts.requirements import (
    CONTACT,
    REQUIREMENTS,
    TITLES,
    Site,
    Verdict,
    check,
    chosen,
)
from tests.testbed.hosts.sites import site

ID = "id -u"
VERSION = "ovs-appctl -T 20 version"
UUID = "ovs-vsctl --timeout=20 get Open_vSwitch . _uuid"


def refusing(error: Exception) -> Callable[..., Completed]:
    """Return a transport's `run` that raises an error."""

    def run(*_: object, **__: object) -> Completed:
        raise error

    return run


def looked(key: str, at: Site) -> Verdict:
    """Return the verdict of one requirement, whose needs are met."""
    known = dict.fromkeys(TITLES, "ok")
    return {one.key: found for one, found in check(at, key, known)}[key]


def test_account_without_sudo_gets_the_line_that_gives_it() -> None:
    found = looked("sudo", site((ID, 1), user="lab"))

    assert found.outcome == "lacking"
    assert found.command == (
        "echo 'lab ALL=(root) NOPASSWD: ALL' > /etc/sudoers.d/lab && "
        "chmod 440 /etc/sudoers.d/lab"
    )
    assert looked("sudo", site((ID, "0\n"))).outcome == "ok"


def test_missing_packages_are_installed_by_one_command() -> None:
    found = looked("programs", site(missing=("zstd", "ethtool")))

    assert found.observed == "Missing: zstd, ethtool."
    assert found.command == "apt-get install --no-install-recommends zstd ethtool"


def test_host_without_captures_lacks_nothing_that_is_required() -> None:
    at = site(missing=("tcpdump",))

    assert looked("programs", at).outcome == "ok"
    assert looked("tcpdump", at).command.endswith(" tcpdump")


def test_main_by_another_name_is_refused() -> None:
    assert "main itself" in looked("machine", site(identity="here 1")).observed
    assert looked("machine", site()).outcome == "ok"


def test_stopped_switch_is_started_by_the_command() -> None:
    found = looked("ovs", site((VERSION, 1)))

    assert "Open vSwitch does not answer on host-b." in found.observed
    assert found.command == "systemctl enable --now openvswitch-switch"


def test_switch_says_its_version_and_path() -> None:
    dps = ("ovs-dpctl dump-dps", 1)
    found = looked("ovs", site((VERSION, "ovs-vswitchd 3.5.0"), (UUID, "x"), dps))

    assert found.observed == "Open vSwitch 3.5.0, userspace, slower."


def test_address_in_a_range_of_testbeds_is_deleted_by_the_command() -> None:
    claims = (
        Claim(kind=ClaimKind.ADDRESS, range="100.64.7.1/24", by="eth1"),
        Claim(kind=ClaimKind.ROUTE, range="100.64.7.0/24", by="eth1"),
        Claim(kind=ClaimKind.ROUTE, range="100.64.9.0/24", by="wg0"),
        Claim(kind=ClaimKind.FILTER, range="100.64.0.0/10", by="ts-input"),
    )
    found = looked("ranges", site(network=HostNetwork(claims=claims)))

    assert "eth1 has the address 100.64.7.1/24" in found.observed
    assert found.command.splitlines() == [
        "ip address delete 100.64.7.1/24 dev eth1",
        "ip route delete 100.64.9.0/24 dev wg0",
    ]


def test_range_by_which_the_host_is_reached_is_in_no_command() -> None:
    claim = Claim(kind=ClaimKind.ADDRESS, range="100.64.7.1/24", by="eth1")
    at = site(network=HostNetwork(claims=(claim,)))
    state = at.opened.state
    at.opened.state = state.model_copy(update={"address": "100.64.7.1"})

    found = looked("ranges", at)

    assert (found.outcome, found.command) == ("lacking", "")


def test_device_whose_name_is_a_command_is_in_no_command() -> None:
    odd = "$(reboot)\x1b[2J"
    claim = Claim(kind=ClaimKind.ADDRESS, range="100.64.7.1/24", by=odd)
    network = HostNetwork(claims=(claim,), tunnel_device=odd, tunnel_mtu=600)

    assert looked("ranges", site(network=network)).command == ""
    assert looked("mtu", site(network=network)).command == ""


@pytest.mark.parametrize(
    ("key", "at", "words"),
    [
        ("mtu", site(network=HostNetwork()), "No device there has the address"),
        (
            "mtu",
            site(network=HostNetwork(tunnel_device="eth0", tunnel_mtu=576)),
            "carries packets of 576 bytes; guests need 1330",
        ),
        ("disk", site(free_bytes=1 << 30), "1.0 GiB are free below"),
        ("disk", site(free_bytes=None), "does not say how much is free"),
        ("clock", site(ahead_s=-70.0), "70 s behind main's"),
        ("clock", site(ahead_s=3600.0), "3600 s ahead of main's"),
        ("clock", site(ahead_s=None), "does not say its time"),
        ("nftables", site(network=HostNetwork(lacks_nftables=True)), "nft is missing"),
        ("qemu", site(qemu=""), "No QEMU"),
    ],
)
def test_row_says_what_is_lacking(key: str, at: Site, words: str) -> None:
    found = looked(key, at)

    assert found.outcome == "lacking"
    assert words in found.observed


@pytest.mark.parametrize("key", ["mtu", "disk", "clock", "nftables", "qemu", "ranges"])
def test_row_of_a_sound_host_is_ok(key: str) -> None:
    assert looked(key, site()).outcome == "ok"


def test_rows_behind_a_lacking_one_are_not_checked_and_say_why() -> None:
    known = {"ssh": "ok", "host_key": "ok", "login": "lacking"}

    found = {one.key: verdict for one, verdict in check(site(), "", known)}

    assert {verdict.outcome for verdict in found.values()} == {"skipped"}
    assert found["sudo"].observed == "Not checked: Login comes first."
    assert found["ovs"].observed == "Not checked: Rights of root comes first."


def test_row_that_is_mended_takes_along_those_that_waited_for_it() -> None:
    known = dict.fromkeys(TITLES, "ok") | {"sudo": "lacking", "ovs": "skipped"}

    assert [one.key for one in chosen("sudo", known)] == ["sudo", "ovs"]
    assert [one.key for one in chosen("disk", known)] == ["disk"]
    assert not set(CONTACT) & {one.key for one in chosen("login", known)}


@pytest.mark.parametrize(
    "error",
    [HostUnreachable("gone"), CommandTimedOut("no end", exit_code=-1), OSError("odd")],
)
def test_failing_look_is_a_row_and_leaves_the_others(error: Exception) -> None:
    at = site()
    at.opened.transport.run = refusing(error)
    known = dict.fromkeys(CONTACT, "ok")

    found = {one.key: verdict.outcome for one, verdict in check(at, "", known)}

    assert (found["sudo"], found["disk"], found["clock"]) == ("lacking", "ok", "ok")
    assert found["ovs"] == "skipped"


def test_needs_come_before_what_waits_for_them() -> None:
    seen: set[str] = {""}
    for one in REQUIREMENTS:
        assert one.needs in seen
        seen.add(one.key)
