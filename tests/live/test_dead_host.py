"""A host whose cable is pulled: the rest is done, the host is named, nothing is lost."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.live.client import Client
from tests.live.stack import NamespaceHost, Stack
from tests.live.watch import (
    DATA,
    condition,
    holdings,
    project,
    ran,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "pair"


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack, owner: Client) -> dict[str, set[str]]:
    owner.create_testbed(SLUG, DATA / "pair")
    return holdings(stack)


@contextmanager
def dead(stack: Stack, host: NamespaceHost) -> Iterator[None]:
    """Pull a host's cable for a while."""
    host.cut()
    try:
        yield
    finally:
        host.mend()
        stack.main.wait_until_it_reaches(host)


def test_up_with_a_dead_host_fails_before_it_touches_anything(stack, owner, before):
    with dead(stack, stack.other):
        up = ran(owner, SLUG, "up")

    assert up.status == "failed"
    failed = up.of("check-hosts")["host-b"]
    assert "host-b" in failed["message"]
    assert failed["hint"]
    assert failed["message"] in up.words
    assert up.of("check-hosts")["main"]["status"] == "done"
    assert condition(stack, SLUG) == "generated"
    assert holdings(stack) == before


def test_down_with_a_dead_host_takes_down_the_rest_and_names_what_is_left(
    stack, owner, before
):
    assert ran(owner, SLUG, "up").status == "succeeded"
    state = project(stack, SLUG).read_state()

    with dead(stack, stack.other):
        down = ran(owner, SLUG, "down")

        left = holdings(stack)
        assert down.status == "failed"
        assert "Not everything could be stopped: away on host-b, " in down.words
        assert "on host-b on host-b" not in down.words
        assert "Then press Down again." in down.words
        stopped = down.of("stop-guests")
        assert (stopped["near"]["status"], stopped["away"]["status"]) == (
            "done",
            "failed",
        )
        assert "host-b" in stopped["away"]["message"]
        assert left["main"] == before["main"]
        assert f"domain {state.guest('away').domain}" in left["host-b"]
        assert condition(stack, SLUG) == "partial"

    wait_until_observed(stack, SLUG, away="running on host-b", near="stopped on main")

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert holdings(stack) == before
    assert condition(stack, SLUG) == "down"
