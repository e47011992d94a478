"""Two running guests, one on each host, for all files of this folder.

They boot once. Each file finds both running, as an `up` before it has seen, and may do
with them what a next `up` repairs; the last one may take the testbed down.
"""

from collections.abc import Iterator

import pytest

from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import pair_up, ran

SLUG = "shared"


@pytest.fixture(scope="package", name="pair")
def _pair(stack: Stack, owner: Client) -> Iterator[None]:
    with pair_up(stack, owner, SLUG):
        yield


@pytest.fixture(scope="module", autouse=True, name="running")
def _running(pair: None, owner: Client) -> None:
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
