"""Erasing in a real browser: the question, the typed name, protection, and the undo.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import pytest
from playwright.sync_api import Page, expect

from tests.live.browser import create

pytestmark = pytest.mark.browser


def test_disks_die_after_the_name_was_typed_and_a_deleted_testbed_comes_back(
    page: Page,
):
    create(page, "erased")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto("/testbeds/erased/")

    page.get_by_role("button", name="Protect erased").press("Enter")
    expect(page.locator("#protection")).to_contain_text("Protected by")
    expect(page.locator("#is-protected")).to_be_visible()
    page.get_by_role("button", name="Lift the protection of erased").press("Enter")
    expect(page.locator("#is-protected")).to_have_count(0)

    page.get_by_label("Options of Up").click()
    page.get_by_label("Recreate disks").check()
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.get_by_role("heading", name="Erase 2 disks of erased?")).to_be_visible()
    page.get_by_label("Type erased to confirm").fill("erased")
    page.keyboard.press("Enter")
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")

    page.get_by_role("button", name="Down").click()
    expect(page.locator("#run-outcome")).to_contain_text("succeeded.")
    page.goto("/testbeds/erased/")
    page.get_by_role("link", name="Delete this testbed").click()
    expect(page.get_by_label("To be erased")).to_contain_text("web")
    page.get_by_label("Type erased to confirm").fill("erased")
    page.get_by_role("button", name="Delete erased").click()

    page.get_by_role("link", name="Restore it from the trash").click()
    page.get_by_role("button", name="Restore the testbed erased").click()
    expect(page.get_by_role("heading", name="erased", exact=True)).to_be_visible()
    expect(page.locator("#files")).to_contain_text("kvm-compose.yaml")
