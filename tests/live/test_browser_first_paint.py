"""The bytes that a browser has to load before it can paint a page, with nothing cached.

On a line of 50 KB/s with a round trip of 100 ms the bound takes less than a second; the
pages paint within two there, round trips included (docs/decisions.md has the figures).
"""

from contextlib import closing

import pytest
from playwright.sync_api import Page

from tests.live.browser import create
from tests.live.stack import Stack

pytestmark = pytest.mark.browser
MOST_BYTES = 40_000
# The page itself, and what its first paint waits for; with their headers.
BLOCKING = """
performance.getEntriesByType("resource")
  .filter((entry) => entry.renderBlockingStatus === "blocking")
  .concat(performance.getEntriesByType("navigation"))
  .map(({ name, transferSize }) => [new URL(name).pathname, transferSize])
"""


def blocking(page: Page, path: str) -> dict[str, int]:
    """Load a page; return the bytes of each address that its first paint needs."""
    network = page.context.new_cdp_session(page)
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    answer = page.goto(path)
    assert answer is not None
    assert answer.ok, path
    network.detach()
    return dict(page.evaluate(BLOCKING))


def test_first_paint_of_each_page_needs_few_bytes(page: Page, product: Stack):
    create(page, "painted")
    with closing(product.client("owner")) as client:
        run = client.start("painted", "generate-artefacts")
        client.drive(run, lambda frame: None)
    pages = ("/testbeds/owner/painted/", "/testbeds/owner/painted/guests/web/")
    paths = ("/", *pages, f"/runs/{run.number}/")

    sizes = {path: blocking(page, path) for path in paths}

    assert all(size[path] > 0 for path, size in sizes.items())
    assert min(map(len, sizes.values())) > 10
    totals = {path: sum(size.values()) for path, size in sizes.items()}
    assert max(totals.values()) <= MOST_BYTES, totals
