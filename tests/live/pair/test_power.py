"""Power verbs on real guests: one on main, one behind a Debian 13 host.

Each test leaves both guests running. The boot id inside a guest says whether its system
started again; the other guest's must never change.
"""

import subprocess

import pytest

from testbed.client.rest.problems import ServerProblem
from tests.live.client import Client
from tests.live.pair.conftest import SLUG
from tests.live.stack import Stack
from tests.live.watch import (
    Guest,
    Ran,
    condition,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live


@pytest.fixture(name="near")
def _near(stack: Stack) -> Guest:
    return Guest(stack, SLUG, "near")


@pytest.fixture(name="away")
def _away(stack: Stack) -> Guest:
    return Guest(stack, SLUG, "away")


def changed(client: Client, verb: str, selection: str) -> Ran:
    run = Ran(client.ask(SLUG, "power", verb=verb, selection=selection))
    client.drive(run.started, run.frames.append)
    return run


def state_of(stack: Stack, guest: Guest, name: str) -> str:
    domain = project(stack, SLUG).read_state().guest(name).domain
    return guest.host.run("virsh", "domstate", domain).strip()


def wait_for_boot(guest: Guest, *, other_than: str) -> None:
    """Wait until the guest answers with another boot id."""

    def has_booted() -> bool:
        try:
            return guest.boot != other_than
        except (AssertionError, subprocess.SubprocessError):
            return False

    wait_until(has_booted, "the guest did not boot again")


def test_testbed_stays_up_with_a_guest_off_and_up_starts_it(stack, owner, near, away):
    others, before = near.boot, away.boot

    off = changed(owner, "shut-down", "away")
    assert off.status == "succeeded", off.words
    assert state_of(stack, away, "away") == "shut off"
    again = changed(owner, "shut-down", "away").of("shut-down")["away"]
    assert (again["status"], again["message"]) == ("unchanged", "was off already")
    wait_until_observed(stack, SLUG, away="shut off on host-b")

    assert condition(stack, SLUG) == "up"
    assert "by request" in owner.pages.read(f"/testbeds/{SLUG}/")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    assert away.boot != before
    assert near.boot == others


def test_paused_guest_goes_on_where_it_was(stack, owner, away):
    before = away.boot

    assert changed(owner, "pause", "away").status == "succeeded"
    assert state_of(stack, away, "away") == "paused"
    refused = changed(owner, "shut-down", "away")
    assert refused.of("shut-down")["away"]["message"] == (
        "Guest away on host-b is paused."
    )
    assert changed(owner, "resume", "@all").status == "succeeded"

    assert state_of(stack, away, "away") == "running"
    assert away.boot == before


def test_reboot_is_observed_on_both_hosts(owner, near, away):
    before = {guest: guest.boot for guest in (near, away)}

    run = changed(owner, "reboot", "@all")

    results = run.of("reboot")
    assert run.status == "succeeded", run.words
    assert {(r["status"], r["message"]) for r in results.values()} == {("done", "")}
    for guest, boot in before.items():
        wait_for_boot(guest, other_than=boot)


@pytest.mark.slow
def test_reset_restarts_one_guest(owner, near, away):
    others, before = away.boot, near.boot

    run = changed(owner, "reset", "near")

    assert run.status == "succeeded", run.words
    wait_for_boot(near, other_than=before)
    assert away.boot == others


def test_power_on_starts_the_guest_alone_that_is_off(owner, near, away):
    others, before = away.boot, near.boot

    off = changed(owner, "power-off", "near")
    on = changed(owner, "power-on", "@all")

    assert off.status == "succeeded", off.words
    assert on.status == "succeeded", on.words
    results = on.of("power-on")
    assert results["near"]["status"] == "done"
    assert results["away"]["message"] == "was on already"
    wait_for_boot(near, other_than=before)
    assert away.boot == others


def test_power_waits_for_no_other_run(owner):
    started = owner.start(SLUG, "up")

    with pytest.raises(ServerProblem, match="owner has been running up"):
        owner.ask(SLUG, "power", verb="pause", selection="near")

    assert owner.drive(started, lambda frame: None) == "succeeded"


@pytest.mark.slow
def test_guest_that_is_not_defined_fails_with_a_sentence(stack, owner, away):
    domain = project(stack, SLUG).read_state().guest("away").domain
    away.host.run("virsh", "destroy", domain)
    away.host.run("virsh", "undefine", domain)

    run = changed(owner, "power-on", "away")

    result = run.of("power-on")["away"]
    assert run.status == "failed"
    assert result["message"] == "Guest away does not exist on host-b."
    assert result["hint"] == "Use Up."
    assert ran(owner, SLUG, "up").status == "succeeded"
