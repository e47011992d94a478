"""The page of a real guest: its state, its addresses, and why it cannot be reached."""

import re

import pytest

from tests.live.client import Client
from tests.live.pair.conftest import SLUG
from tests.live.watch import (
    Guest,
    Ran,
    host_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
EARLY_BYTES = 64 * 1024
END_SSH = "while killall -KILL dropbear; do sleep 0.1; done"


def checked(client: Client, name: str) -> Ran:
    run = Ran(client.ask(SLUG, f"guests/{name}/check"))
    client.drive(run.started, run.frames.append)
    return run


def addresses_in(guest: Guest) -> dict[str, set[str]]:
    """Return the IPv4 addresses that the guest itself says it has."""
    said = guest.run("ip -o -4 address show")
    found: dict[str, set[str]] = {}
    for name, address in re.findall(r"^\d+: (\S+) +inet ([\d.]+)", said, re.MULTILINE):
        found.setdefault(name, set()).add(address)
    return found


@pytest.mark.parametrize(("name", "host"), [("near", "main"), ("away", "host-b")])
def test_page_shows_the_guest_as_it_is(stack, owner, name, host):
    wait_until_observed(stack, SLUG, **{name: f"running on {host}"})

    run = checked(owner, name)

    assert run.status == "succeeded", run.words
    assert f"Guest {name} on {host} can be reached." in run.words
    page = owner.get(SLUG, f"guests/{name}")
    assert (page["status"], page["host"]) == ("running", host)
    assert page["observed_since"] <= page["observed_at"]
    own = addresses_in(Guest(stack, SLUG, name))
    assert page["interfaces"]
    for interface in page["interfaces"]:
        seen = {address for address in interface["actual"] if ":" not in address}
        assert seen == own[interface["name"]], interface
        assert interface["wanted"].partition("/")[0] in seen
    shown = owner.pages.read(f"/testbeds/{SLUG}/guests/{name}/")
    assert "testbed guest ready" in shown


@pytest.mark.parametrize(("name", "host"), [("near", "main"), ("away", "host-b")])
def test_whole_serial_log_is_fetched_from_the_guests_host(stack, owner, name, host):
    wanted = {"form": "serial-log", "selection": name}
    run = Ran(owner.ask(SLUG, "exec", **wanted))
    owner.drive(run.started, run.frames.append)

    assert run.status == "succeeded", run.words
    file = f"{name}-serial.log"
    address = f"/runs/{run.started.number}/fetched/file?guest={name}&path={file}"
    log = b"".join(owner.server.pieces(address))
    path = project(stack, SLUG).read_state().guest(name).console
    there = int(host_of(stack, host).run("stat", "-c", "%s", path))
    assert b"testbed guest ready" in log
    assert 0 < len(log) <= there  # its guest may have written since
    assert file in owner.pages.read(f"/testbeds/{SLUG}/guests/{name}/")


def test_interfaces_are_counted_as_their_guest_counts(stack, owner):
    guest = Guest(stack, SLUG, "away")
    own = "cat /sys/class/net/mgmt0/statistics/rx_bytes"
    guest.run("cat > /dev/null << END\n" + 200 * f"{'x' * 1000}\n" + "END")
    least = int(guest.run(own))

    def counted() -> int:
        interfaces = {
            one["name"]: one for one in owner.get(SLUG, "guests/away")["interfaces"]
        }
        return interfaces["mgmt0"]["received"]["bytes"]

    # Some packets of the boot came before the guest's driver counted.
    assert least > 200_000
    wait_until(lambda: counted() >= least, "the counts do not follow the guest")
    assert counted() <= int(guest.run(own)) + EARLY_BYTES


def test_recreated_guest_loses_its_data_and_the_other_nothing(stack, owner):
    near, away = Guest(stack, SLUG, "near"), Guest(stack, SLUG, "away")
    boots = near.boot, away.boot
    for guest in (near, away):
        guest.run("echo data > /var/kept; sync")

    run = Ran(owner.ask(SLUG, "up", mode="recreate", selection="near"))
    owner.drive(run.started, run.frames.append)

    assert run.status == "succeeded", run.words
    assert run.words.startswith("1 guest up: near.")
    assert set(run.of("start-guests")) == {"near"}
    again = Guest(stack, SLUG, "near")
    assert again.boot != boots[0]
    assert again.run("cat /var/kept || echo gone").endswith("gone")
    assert (away.boot, away.run("cat /var/kept")) == (boots[1], "data")


@pytest.mark.slow
def test_guest_that_somebody_removed_comes_back_alone(stack, owner):
    away, near = Guest(stack, SLUG, "away"), Guest(stack, SLUG, "near")
    boot = near.boot
    away.run("echo data > /var/kept; sync")
    domain = project(stack, SLUG).read_state().guest("away").domain
    host_of(stack, "host-b").run("virsh", "destroy", domain)
    host_of(stack, "host-b").run("virsh", "undefine", domain)

    run = Ran(owner.ask(SLUG, "up", mode="up", selection="away"))
    owner.drive(run.started, run.frames.append)

    assert run.status == "succeeded", run.words
    assert away.run("cat /var/kept") == "data"
    assert near.boot == boot


@pytest.fixture
def reset_afterwards(stack, owner):
    """Reset the guest that lost its SSH server: the next files' tests use it."""
    guest = Guest(stack, SLUG, "away")
    before = guest.boot
    yield
    reset = Ran(owner.ask(SLUG, "power", verb="reset", selection="away"))
    owner.drive(reset.started, reset.frames.append)
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    wait_until(
        lambda: checked(owner, "away").status == "succeeded", "it cannot be reached"
    )
    assert guest.boot != before


@pytest.mark.usefixtures("reset_afterwards")
def test_check_names_ssh_where_its_server_was_stopped(stack, owner):
    guest = Guest(stack, SLUG, "away")
    guest.run(f"setsid sh -c 'sleep 1; {END_SSH}' >/dev/null 2>&1 </dev/null &")

    run = checked_until_ssh_failed(owner, "away")

    found = run.finished("away")
    assert run.status == "failed"
    page = owner.get(SLUG, "guests/away")
    assert page["check"]["layer"] == "ssh"
    assert page["check"]["run"] == run.started.number
    assert page["status"] == "running"
    assert "testbed guest ready" in str(found["found"]["console"])


def checked_until_ssh_failed(client: Client, name: str) -> Ran:
    """Check until the server in the guest is gone: it ends a second later.

    A check in that moment loses the guest at another layer, or with other words.
    """
    for _ in range(20):
        run = checked(client, name)
        if "no server listens" in run.finished(name)["message"]:
            return run
    raise AssertionError("the guest could be reached all the time")


def test_paused_guest_fails_at_its_domain(stack, owner):
    pause = Ran(owner.ask(SLUG, "power", verb="pause", selection="near"))
    owner.drive(pause.started, pause.frames.append)
    wait_until_observed(stack, SLUG, near="paused on main")

    run = checked(owner, "near")

    assert run.finished("near")["found"]["layer"] == "domain"
    assert "its domain is paused" in run.words
    page = owner.get(SLUG, "guests/near")
    assert (page["status"], page["by_request"]) == ("paused", True)
    resume = Ran(owner.ask(SLUG, "power", verb="resume", selection="near"))
    owner.drive(resume.started, resume.frames.append)
    assert checked(owner, "near").status == "succeeded"
