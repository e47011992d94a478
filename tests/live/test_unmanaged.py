"""Guests on both hosts without a management network, reached by their own addresses."""

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import DATA, holdings, project, ran

pytestmark = pytest.mark.live
SLUG = "unmanaged"
YAML = (DATA / "pair/kvm-compose.yaml").read_text()


def test_guest_of_another_host_is_reached_through_the_nat_network(
    stack: Stack, owner: Client, tmp_path
) -> None:
    before = holdings(stack)
    options = "testbed_options:\n  management_network: false\n"
    (tmp_path / "kvm-compose.yaml").write_text(f"{YAML}\n{options}")
    owner.create_testbed(SLUG, tmp_path)

    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    state = project(stack, SLUG).read_state()
    away = state.guest("away")
    assert (away.host == "main", away.management) == (False, None)
    assert up.of("set-up-guests")["away"]["status"] == "done"
    assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before
