"""An edited YAML is applied to what runs, and what somebody broke is repaired.

One testbed on both hosts, edited step by step as a user would; each test brings up
itself what it needs, and the last one takes it down.
"""

import re
from contextlib import suppress

import pytest

from orchestration.state.model import State
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import (
    DATA,
    PATIENCE_S,
    Guest,
    condition,
    holdings,
    host_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "drifting"
YAML = (DATA / "pair/kvm-compose.yaml").read_text()
GUEST = YAML[YAML.index("  - name: away") : YAML.index("network:")]
# DHCP would not give `third` the next address, which an interface had that is gone
# since the first test, and each `up` would wait for it.
FREE = "an address of the testbed's subnet"
THIRD = GUEST.replace("away", "third").replace("br1", f"br0\n        ip: {FREE}")
# `away` gets more memory, and `third` is added.
GROWN = YAML.replace(GUEST, GUEST.replace("128", "160") + THIRD)
SHRUNK = YAML.replace(GUEST, THIRD)
# The interface of `near` moves from the NAT's bridge to one for the two of them alone;
# its second one is where the first was. `away` gets a second one, too.
ALONE = "10.9.0.2"
REWIRED = YAML
for old, new in {
    "- bridge: br0\n": f"- bridge: alone\n        ip: {ALONE}\n      - bridge: br0\n",
    "- bridge: br1\n": "- bridge: br1\n      - bridge: alone\n        ip: 10.9.0.3\n",
    "- name: br1\n": "- name: br1\n    - name: alone\n",
}.items():
    REWIRED = REWIRED.replace(old, new)


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="deployed")
def _deployed(stack: Stack, owner: Client, before: dict[str, set[str]]) -> str:
    owner.create_testbed(SLUG, DATA / "pair")
    first = ran(owner, SLUG, "up")
    assert first.status == "succeeded", first.words
    return SLUG


@pytest.fixture(name="edited")
def _edited(stack: Stack, owner: Client, deployed: str, tmp_path):
    gateway = project(stack, SLUG).read_state().network.nat.gateway
    address = f"{gateway.rpartition('.')[0]}.200"

    def edit(text: str) -> str:
        (tmp_path / "kvm-compose.yaml").write_text(text.replace(FREE, address))
        owner.update_files(SLUG, tmp_path)
        return owner.pages.read(f"/testbeds/{SLUG}/")

    return edit


def memory_mib(guest: Guest) -> int:
    return int(guest.run("sed -n 's/MemTotal: *//p' /proc/meminfo").split()[0]) // 1024


def addresses(guest: Guest) -> dict[str, list[str]]:
    """Return the addresses of each interface that has an IPv4 address."""
    found: dict[str, list[str]] = {}
    for line in guest.run("ip -4 -o address show scope global").splitlines():
        words = line.split()
        found.setdefault(words[1], []).append(words[3].split("/")[0])
    return found


def given(stack: Stack, guest: str) -> dict[str, list[str]]:
    """Return the addresses that the state has for a guest's interfaces."""
    found = project(stack, SLUG).read_state().guest(guest)
    places = [(i.name, i.address) for i in (*found.interfaces, found.management)]
    return {name: [address] for name, address in places if address}


def test_interfaces_change_while_guests_run(stack, owner, edited):
    edited(YAML)
    near, away = Guest(stack, SLUG, "near"), Guest(stack, SLUG, "away")
    boots, first = (near.boot, away.boot), given(stack, "near")

    page_announces_a_change_without_reboot(edited(REWIRED))
    up_changes_the_interfaces_of_both(owner)
    guests_have_their_new_addresses_without_reboot(stack, (near, away), boots)
    assert addresses(near) != first
    gateway = project(stack, SLUG).read_state().network.nat.gateway
    guests_reach_the_gateway_and_each_other(near, away, gateway)
    second_up_changes_nothing(owner)

    near_comes_back_from_its_own_reboot_with_its_addresses(stack, near)
    away.run(f"ping -c1 -w30 {ALONE}")

    boots = near.boot, away.boot
    edited(YAML)
    back = ran(owner, SLUG, "up")
    assert back.status == "succeeded", back.words
    assert (near.boot, away.boot) == boots
    assert addresses(near) == first
    near.run(f"ping -c1 -w30 {gateway}")
    second_up_changes_nothing(owner)


def page_announces_a_change_without_reboot(page: str) -> None:
    assert "change without reboot" in page
    assert "eth1 on br0 is new" in page


def up_changes_the_interfaces_of_both(owner: Client) -> None:
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    assert set(up.of("change-interfaces")) == {"near", "away"}


def guests_have_their_new_addresses_without_reboot(
    stack: Stack, guests: tuple[Guest, Guest], boots: tuple[str, str]
) -> None:
    near, away = guests
    assert (near.boot, away.boot) == boots
    assert given(stack, "near")["eth0"] == [ALONE]
    assert addresses(near) == given(stack, "near")
    assert addresses(away) == given(stack, "away")


def guests_reach_the_gateway_and_each_other(
    near: Guest, away: Guest, gateway: str
) -> None:
    near.run(f"ping -c1 -w30 -I eth1 {gateway}")
    away.run(f"ping -c1 -w30 {gateway}")
    away.run(f"ping -c1 -w30 -I eth1 {ALONE}")


def near_comes_back_from_its_own_reboot_with_its_addresses(
    stack: Stack, near: Guest
) -> None:
    boot = near.boot
    with suppress(AssertionError):  # it may cut off who asks; its boot's name tells
        near.run("/usr/sbin/reboot < /dev/null > /dev/null 2>&1 &")

    def came_back() -> bool:
        try:
            return near.boot != boot and addresses(near) == given(stack, "near")
        except AssertionError:  # it does not answer yet
            return False

    wait_until(came_back, "near does not come back", timeout_s=2 * PATIENCE_S)


def second_up_changes_nothing(owner: Client) -> None:
    again = ran(owner, SLUG, "up")
    assert again.status == "succeeded", again.words
    statuses = again.statuses()
    # A removed interface's lease may still hold the address of another, which is said.
    assert statuses.pop("set-up-guests") <= {"done", "unchanged", "warning"}
    assert set().union(*statuses.values()) <= {"done", "unchanged"}
    assert again.statuses()["start-guests"] == {"unchanged"}
    assert "change-interfaces" not in again.statuses()


def test_edit_restarts_what_changed_and_starts_what_is_new(stack, owner, edited):
    near, away = Guest(stack, SLUG, "near"), Guest(stack, SLUG, "away")
    boots, small = (near.boot, away.boot), memory_mib(away)
    near.run("echo kept > /var/kept")

    page = edited(GROWN)

    assert "memory 128 → 160 MiB" in page
    assert "Up: apply the changes" in page
    assert (near.boot, away.boot) == boots

    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert set(up.of("stop-changed-guests")) == {"away"}
    assert near.boot == boots[0]
    assert near.run("cat /var/kept") == "kept"
    away = Guest(stack, SLUG, "away")
    assert away.boot != boots[1]
    assert memory_mib(away) > small + 20
    assert Guest(stack, SLUG, "third").boot
    assert "Up: apply the changes" not in owner.pages.read(f"/testbeds/{SLUG}/")
    assert not project(stack, SLUG).has_unfinished_change()


def test_guest_that_is_not_in_the_yaml_any_more_goes_with_its_disk(
    stack, owner, edited
):
    edited(GROWN)
    assert ran(owner, SLUG, "up").status == "succeeded"
    away = project(stack, SLUG).read_state().guest("away")
    host = host_of(stack, away.host)
    host.run("test", "-e", away.disk)
    boot = Guest(stack, SLUG, "near").boot

    assert "removed from the YAML; its disk will be deleted" in edited(SHRUNK)
    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert f"domain {away.domain}" not in holdings(stack)[away.host]
    assert host.run("sh", "-c", f"test -e {away.disk} || echo gone").strip() == "gone"
    assert Guest(stack, SLUG, "near").boot == boot
    wait_until_observed(stack, SLUG, near="running on main")
    assert condition(stack, SLUG) == "up"


def test_things_removed_by_hand_are_seen_and_repaired(stack, owner, edited):
    edited(SHRUNK)
    assert ran(owner, SLUG, "up").status == "succeeded"
    near, third = (Guest(stack, SLUG, name) for name in ("near", "third"))
    boots = near.boot, third.boot
    state = project(stack, SLUG).read_state()
    wait_until(lambda: condition(stack, SLUG) == "up", "it is not seen to be up")

    missing = remove_a_guest_a_bridge_networks_and_firewall(near, state)
    page_names_all_that_is_missing(owner, missing)
    assert "br0 is gone</text>" in owner.pages.read(f"/testbeds/{SLUG}/")
    assert condition(stack, SLUG) == "partial"

    up_starts_only_the_guest_that_was_shut_off(owner)
    assert Guest(stack, SLUG, "near").boot != boots[0]
    assert third.boot == boots[1]
    address = state.guest("near").interfaces[0].address
    third.run(f"ping -c 1 -w 30 {address}")
    wait_until(lambda: condition(stack, SLUG) == "up", "something is still missed")


def remove_a_guest_a_bridge_networks_and_firewall(
    near: Guest, state: State
) -> list[str]:
    """Return what the page has to say of each."""
    bridge = next(b for b in state.network.bridges if b.name == "br0")
    (management,) = (m for m in state.network.management if m.host == bridge.host)
    near.host.run("virsh", "destroy", state.guest("near").domain)
    near.host.run("ovs-vsctl", "del-br", bridge.device)
    near.host.run("virsh", "net-destroy", management.network)
    near.host.run("virsh", "net-destroy", state.network.nat.network)
    near.host.run("nft", "delete", "table", "inet", "testbed")
    return [
        "firewall of main is gone",
        "guest near is shut off on main",
        "bridge br0 is gone on main",
        f"network {management.network} is not active on main",
        f"network {state.network.nat.network} is not active on main",
    ]


def page_names_all_that_is_missing(owner: Client, missing: list[str]) -> None:
    def is_said() -> bool:
        page = owner.pages.read(f"/testbeds/{SLUG}/")
        words = " ".join(re.sub(r"<[^>]+>", "", page).split())  # names are links
        return all(text in words for text in missing)

    wait_until(is_said, "the page does not say what is missing")


def up_starts_only_the_guest_that_was_shut_off(owner: Client) -> None:
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    started = {name: r["status"] for name, r in up.of("start-guests").items()}
    assert started == {"near": "done", "third": "unchanged"}


def test_parts_broken_under_running_guests_are_seen_and_repaired(stack, owner, edited):
    edited(SHRUNK)
    assert ran(owner, SLUG, "up").status == "succeeded"
    near, third = (Guest(stack, SLUG, name) for name in ("near", "third"))
    boots = near.boot, third.boot
    state = project(stack, SLUG).read_state()
    wait_until(lambda: condition(stack, SLUG) == "up", "it is not seen to be up")

    broken = remake_the_uplink_kill_dnsmasq_and_set_a_tap_down(near, state)
    page_names_all_that_is_missing(owner, broken)
    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert up.statuses()["ensure-networks"] == {"done", "unchanged"}
    assert (near.boot, third.boot) == boots
    gateway = state.network.nat.gateway
    for guest in (near, third):
        guest.run(f"ping -c1 -w30 {gateway}")
        guest.run(f"nslookup near {gateway}")
    wait_until(lambda: condition(stack, SLUG) == "up", "something is still missed")
    second_up_changes_nothing(owner)


def remake_the_uplink_kill_dnsmasq_and_set_a_tap_down(
    near: Guest, state: State
) -> list[str]:
    """Return what the page has to say of each."""
    nat, host = state.network.nat, near.host
    a, b = nat.veth_network_end, nat.veth_bridge_end
    host.run("ip", "link", "delete", a)
    host.run("ip", "link", "add", a, "type", "veth", "peer", "name", b)
    host.run("ip", "link", "set", a, "master", nat.device)
    for end in (a, b):
        host.run("ip", "link", "set", end, "up")
    pid = host.run("cat", f"/run/libvirt/network/{nat.network}.pid").strip()
    host.run("kill", "-9", pid)
    host.run("ip", "link", "set", state.guest("near").interfaces[0].tap, "down")
    return [
        f"uplink through {nat.network} is cut on main",
        f"network {nat.network} gives no addresses and names on main",
        "interface eth0 of guest near is down on main",
    ]


@pytest.mark.slow
def test_disk_that_was_deleted_under_a_guest_is_seen_and_not_made_again(
    stack, owner, edited
):
    edited(SHRUNK)
    assert ran(owner, SLUG, "up").status == "succeeded"
    third = Guest(stack, SLUG, "third")
    boot, disk = third.boot, project(stack, SLUG).read_state().guest("third").disk
    third.run("echo kept > /var/kept")
    third.host.run("rm", disk)
    page_names_all_that_is_missing(owner, ["disk of third is missing on main"])

    refused = ran(owner, SLUG, "up")

    assert refused.status == "failed"
    assert (
        "The disk of guest third is missing on main"
        in refused.finished("third")["message"]
    )
    assert third.boot == boot
    third.host.run("sh", "-c", f"! test -e {disk}")
    assert ran(owner, SLUG, "down").status == "succeeded"
    again = ran(owner, SLUG, "up")
    assert again.status == "succeeded", again.words
    assert again.of("create-disks")["third"]["status"] == "done"
    third = Guest(stack, SLUG, "third")
    assert third.run("test -e /var/kept || echo new").strip() == "new"
    wait_until(lambda: condition(stack, SLUG) == "up", "something is still missed")


def test_down_of_what_was_edited_leaves_nothing(stack, owner, edited, before):
    edited(YAML)

    assert ran(owner, SLUG, "down").status == "succeeded"

    assert holdings(stack) == before
