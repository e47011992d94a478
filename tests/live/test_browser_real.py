"""A researcher watches a real guest come up, reloads, cancels, and takes it down."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import signed_in
from tests.live.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.live]
TALKING = Path(__file__).parents[1] / "data/live/talking"


def test_run_is_watched_reloaded_cancelled_and_taken_down(
    stack: Stack, chromium: Browser
):
    with signed_in(chromium, stack.url, "owner") as page:
        create(page, "talking", TALKING)
        page.get_by_role("button", name="Up", exact=True).click()
        expect(page.locator("#log")).to_contain_text("word 2")

        page.reload()
        expect(page.locator("#log")).to_contain_text("word 1")
        expect(page.locator("#log")).to_contain_text("word 8")
        second = page.context.new_page()
        second.goto(page.url)
        expect(second.locator("#log")).to_contain_text("word 12")

        second.get_by_role("button", name="Cancel").click()
        for tab in (page, second):
            expect(tab.locator("#run-outcome")).to_contain_text(
                "No process that carries the mark of an unfinished task is left."
            )
            expect(tab.locator("#run-outcome")).to_contain_text(
                "The testbed is partial"
            )
            expect(tab.locator("#run-outcome")).to_contain_text("Resume Up")
        expect(page.locator("#log")).to_contain_text(
            re.compile(r"Ended on talker: .*sh")
        )
        second.close()

        page.get_by_role("button", name="Down", exact=True).click()
        expect(page.locator("#run-outcome")).to_contain_text("Down succeeded.")
        page.get_by_role("link", name="To talking").click()
        expect(page.locator("#live")).to_contain_text("stopped")


def create(page: Page, slug: str, folder: Path) -> None:
    page.goto("/testbeds/new/")
    page.get_by_label("Name", exact=True).fill(slug)
    page.locator("input[name=folder]").set_input_files(folder)
    page.get_by_role("button", name="Create testbed").click()
    expect(page.get_by_role("heading", name=slug, exact=True)).to_be_visible()
