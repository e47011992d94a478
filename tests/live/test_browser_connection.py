"""A browser whose connection is cut: pages say so, and a cancel is not lost."""

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.live.browser import create
from tests.live.stack import Stack

pytestmark = pytest.mark.browser


class Cut:
    """Stands between the page and the server; `is_cut` lets nothing through."""

    def __init__(self, page: Page) -> None:
        self.is_cut = False
        page.route_web_socket("**/ws/**", self._socket)
        page.route("**/live/", self._request)
        page.route("**/cancel/", self._request)

    def _socket(self, socket: WebSocketRoute) -> None:
        if self.is_cut:
            socket.close(code=1012)
        else:
            socket.connect_to_server()

    def _request(self, route: Route) -> None:
        if self.is_cut:
            route.abort()
        else:
            route.continue_()


def test_page_of_a_testbed_says_since_when_it_is_cut_off(refused: Page):
    cut = Cut(refused)
    create(refused, "cut-off")
    notice = refused.locator("[data-cut]")
    expect(notice).to_be_hidden()

    cut.is_cut = True
    expect(notice).to_contain_text("No connection to the server")

    cut.is_cut = False
    expect(notice).to_be_hidden()


def test_cancel_without_a_connection_is_sent_when_it_is_back(
    refused: Page, product: Stack
):
    cut = Cut(refused)
    create(refused, "cut-run")
    product.stop("worker")  # so that the run waits
    try:
        cut.is_cut = True
        refused.get_by_role("button", name="Up", exact=True).click()
        expect(refused.locator("[data-connection]")).to_contain_text("Reconnecting")
        refused.get_by_role("button", name="Cancel").click()
        expect(refused.locator("#cancel")).to_have_text(
            "Cancel is sent when the connection is back"
        )

        cut.is_cut = False
        expect(refused.locator("#run-outcome")).to_contain_text("Cancelled.")
    finally:
        product.start_worker()
