"""The quickstart on two hosts: up, again, anew, down, and nothing left.

The tests share one testbed and follow each other as a user's day does; each brings
up itself what it needs, which costs a second when it is up.
"""

import re

import pytest

from tests.live.client import Client
from tests.live.stack import CHECKOUT, Stack
from tests.live.watch import (
    Guest,
    Ran,
    condition,
    holdings,
    key_of,
    project,
    ran,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "quickstart"
GUESTS = ("web", "client", "sensor")


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="first_up")
def _first_up(stack: Stack, owner: Client, before: dict[str, set[str]]) -> Ran:
    owner.create_testbed(SLUG, CHECKOUT / "examples/quickstart")
    return ran(owner, SLUG, "up")


@pytest.fixture(name="guests")
def _guests(stack: Stack, owner: Client, first_up: Ran) -> dict[str, Guest]:
    assert ran(owner, SLUG, "up").status == "succeeded"
    return {name: Guest(stack, SLUG, name) for name in GUESTS}


def test_quickstart_comes_up_on_both_hosts(stack, first_up, before):
    assert first_up.status == "succeeded", first_up.words
    wait_until_observed(
        stack,
        SLUG,
        web="running on main",
        client="running on host-b",
        sensor="running on host-b",
    )
    said = stack.manage("status", SLUG).splitlines()
    assert said[0] == f"owner/{SLUG} ({key_of(stack, SLUG)}): up"
    assert said[1].split()[:4] == ["web", "running", "on", "main"]

    state = project(stack, SLUG).read_state()
    added = {name: holdings(stack)[name] - before[name] for name in before}
    for guest in state.guests:
        assert f"domain {guest.domain}" in added[guest.host]
        assert f"link {guest.interfaces[0].tap}" in added[guest.host]
    for bridge in state.network.bridges:
        assert f"bridge {bridge.device}" in added[bridge.host]
    for tunnel in state.network.tunnels:
        for end in tunnel.ends:
            assert f"port {end.port}" in added[end.host]
    assert state.network.tunnels
    assert f"network t{state.number}-nat" in added["main"]
    assert f"network t{state.number}-mgmt" in added["host-b"]


def test_scripts_fetched_the_page_by_name_over_the_tunnel(stack, first_up):
    client = f"{key_of(stack, SLUG)}-client"
    assert f"client: Fetching http://web/ from {client}" in first_up.log
    assert "Hello from the testbed" in first_up.log
    # ping counts an answer as lost that takes a second longer than the others.
    assert re.search("sensor: 3 packets transmitted, [1-3] received", first_up.log)
    for guest in project(stack, SLUG).read_state().guests:
        assert guest.markers.script == guest.setup_script.sha256
        assert guest.markers.script_exit_code == 0


def test_full_size_frames_cross_between_hosts(guests):
    web, client, sensor = (guests[name] for name in GUESTS)
    web.run("head -c 6000000 /dev/urandom > /var/www/big")

    there = web.run("sha256sum < /var/www/big")
    here = client.run("/usr/bin/wget -q -O - http://web/big | sha256sum")

    assert here == there
    mtu = (
        "cat /sys/class/net/$(ip -4 route show default | sed 's/.* dev //;s/ .*//')/mtu"
    )
    assert [guest.run(mtu) for guest in (web, client)] == ["8950", "8950"]
    # 8922 and 28 bytes of headers fill the frame; nothing may cut it up.
    sensor.run("/usr/bin/ping -c 2 -w 60 -M do -s 8922 web")


def test_up_again_changes_nothing(owner, guests):
    boots = {name: guest.boot for name, guest in guests.items()}

    again = ran(owner, SLUG, "up")

    assert again.status == "succeeded"
    looked = {"init", "check-artefacts", "check-hosts"}
    changed = {k: s for k, s in again.statuses().items() if s != {"unchanged"}}
    assert changed.keys() <= looked
    assert {name: guest.boot for name, guest in guests.items()} == boots
    assert "Fetching" not in again.log


def test_scripts_run_again_when_asked(owner, guests):
    boots = {name: guest.boot for name, guest in guests.items()}

    again = ran(owner, SLUG, "up", rerun_scripts=True)

    assert again.status == "succeeded", again.words
    assert again.statuses()["set-up-guests"] == {"done"}
    assert "web: The web server runs already." in again.log
    assert "Hello from the testbed" in again.log
    assert {name: guest.boot for name, guest in guests.items()} == boots


def test_down_leaves_nothing_and_up_finds_the_disks_again(stack, owner, guests, before):
    guests["client"].run("echo precious > /var/kept; sync")

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert condition(stack, SLUG) == "down"
    left = holdings(stack)
    assert {name: left[name] - before[name] for name in left} == {
        "main": set(),
        "host-b": set(),
    }

    again = ran(owner, SLUG, "down")

    assert again.status == "succeeded"
    found = {kind: how for kind, how in again.statuses().items() if kind != "init"}
    assert set.union(*found.values()) == {"unchanged"}

    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert Guest(stack, SLUG, "client").run("cat /var/kept") == "precious"
    assert {r["message"] for r in up.of("set-up-guests").values()} == {
        "its setup script ran before"
    }


def test_provision_makes_the_disks_new(stack, owner, guests):
    guests["web"].run("echo old > /var/kept; sync")

    up = ran(owner, SLUG, "up", provision=True)

    assert up.status == "succeeded", up.words
    assert up.statuses()["create-disks"] == {"done"}
    assert up.statuses()["set-up-guests"] == {"done"}
    assert Guest(stack, SLUG, "web").run("ls /var | grep -c -e kept -e www") == "1"
    assert ran(owner, SLUG, "down").status == "succeeded"
