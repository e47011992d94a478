"""A testbed is shared in real browsers: by keyboard, watched, used, and taken away.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import create, signed_in
from tests.live.stack import Stack

pytestmark = pytest.mark.browser


@pytest.fixture
def course(product: Stack, chromium: Browser) -> str:
    """A group of the owner and the other user, which a lab admin has made."""
    product.add_user("head", is_admin=True)
    with signed_in(chromium, product.url, "head") as page:
        page.get_by_text("head", exact=True).first.click()
        page.get_by_role("link", name="Groups").click()
        page.get_by_label("Name of a new group").fill("course")
        page.keyboard.press("Enter")
        for name in ("owner", "other"):
            page.locator("#add-user").fill(name)
            page.keyboard.press("Enter")
            remove = page.get_by_role("button", name=f"Remove {name}")
            expect(remove).to_be_visible()
    return "course"


def test_viewer_watches_operator_acts_and_both_end(
    product: Stack, chromium: Browser, page: Page, course: str
):
    create(page, "together")
    page.get_by_role("link", name="Sharing").click()
    page.get_by_label("User", exact=True).fill("other")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table")).to_contain_text("by owner")

    with signed_in(chromium, product.url, "other") as theirs:
        row = theirs.locator("#testbeds tr", has_text="owner/together")
        expect(row).to_contain_text(re.compile(r"owner\s+viewer"))
        row.get_by_role("link", name="together").click()
        expect(theirs.get_by_text("you are a viewer")).to_be_visible()
        expect(theirs.get_by_role("button", name="Up", exact=True)).to_have_count(0)

        role = page.get_by_label("Role of other", exact=True)
        role.select_option("operator")
        page.get_by_role("button", name="Change the role of other").press("Enter")
        expect(page.get_by_text("The role of other was changed.")).to_be_visible()
        # The page polls itself, and so gets the buttons of the new role.
        theirs.get_by_role("button", name="Up", exact=True).click()
        expect(theirs.locator("#run-header")).to_contain_text(
            re.compile(r"by other \(operator\) on owner's testbed")
        )
        expect(theirs.locator("#run-outcome")).to_contain_text("Up succeeded.")

        # A run's page would ask for news that it may not have, which is an error there.
        theirs.goto("/")
        expect(row).to_contain_text("operator")
        page.get_by_role("button", name="Remove other").press("Enter")
        expect(page.get_by_text("Only owner and lab admins see it.")).to_be_visible()
        expect(row).to_have_count(0)
