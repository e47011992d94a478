"""The page of a guest in a real browser: from the diagram to a check, by the keyboard.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import create
from tests.live.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.browser


def test_load_is_drawn_beside_its_table_and_stays_when_the_page_is_polled(page: Page):
    create(page, "drawn")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto("/testbeds/drawn/guests/web/")
    expect(page.locator("[data-nothing]")).to_have_count(0)
    drawn = page.locator("#load canvas")
    expect(drawn).to_have_count(4)
    page.evaluate("document.querySelector('#load canvas').dataset.first = 'yes'")

    with page.expect_response(lambda answer: answer.url.endswith("/guests/web/")):
        page.evaluate("htmx.trigger('#guest', 'poll')")

    expect(page.locator("#load canvas[data-first]")).to_have_count(1)
    expect(drawn).to_have_count(4)
    row = page.locator("tr[data-column=cpu_percent]")
    expect(row.locator("[data-figure=last]")).to_contain_text("%")

    page.get_by_role("link", name="Last week").click()
    expect(page.locator("#load canvas")).to_have_count(4)
    page.locator("#guest dd a[href='/hosts/main/']").click()
    expect(page.locator("#load canvas")).to_have_count(4)


def test_guest_is_checked_paused_and_commanded_from_its_page(page: Page):
    create(page, "paged")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto("/testbeds/paged/")

    page.locator("svg a[href$='/guests/web/']").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="web", exact=True)).to_be_visible()
    expect(page.locator("#guest .facts")).to_contain_text("running")

    page.get_by_role("button", name="Check").press("Enter")
    expect(page.locator("#run-outcome")).to_contain_text("Check succeeded.")
    page.get_by_role("link", name="To web").click()
    expect(page.locator("#last-check")).to_contain_text("can be reached.")

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#run-outcome")).to_contain_text("Pause succeeded.")
    page.goto("/testbeds/paged/guests/web/")
    expect(page.locator("#guest .facts")).to_contain_text("paused by request")

    page.get_by_role("link", name="Run a command").click()
    expect(page.locator("[name=selection]")).to_have_value("web")


def test_guest_is_recreated_from_its_page_after_a_question(page: Page):
    create(page, "again")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.locator("#stage-start-guests-head").click()
    page.get_by_role("link", name="Page of web").last.click()

    page.get_by_role("button", name="Recreate").click()
    expect(
        page.get_by_role("heading", name="Recreate 1 guest of again?")
    ).to_be_visible()
    page.get_by_label("Type web to confirm").fill("web")
    page.get_by_role("button", name="Recreate, and erase 1 disk").click()

    expect(page.locator("#run-outcome")).to_contain_text("Recreate succeeded.")
    expect(page.locator("#run-outcome")).to_contain_text("1 guest up: web.")
    page.goto("/testbeds/again/guests/web/")
    page.get_by_role("button", name="Fetch the whole log").click()
    expect(page.locator("#run-outcome")).to_contain_text("Succeeded on 1 guest.")
    page.goto("/testbeds/again/guests/web/")
    with page.expect_download() as download:
        page.get_by_role("link", name="web-serial.log").click()
    assert download.value.suggested_filename == "web-serial.log"


def test_guest_is_used_without_scripts(product: Stack, chromium: Browser, page: Page):
    create(page, "unscripted-guest")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    context = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        java_script_enabled=False,
    )
    plain, address = context.new_page(), "/testbeds/unscripted-guest/guests/web/"
    plain.goto(address)

    expect(plain.locator("#ssh-line")).to_contain_text("ssh -J ")
    expect(plain.locator("#ssh").get_by_role("button")).to_have_count(0)
    expect(plain.locator("tr[data-column=cpu_percent]")).to_be_visible()
    plain.get_by_role("button", name="Check").click()
    reload_until(plain, "#run", "Check succeeded.")
    plain.get_by_role("link", name="To web").click()
    expect(plain.locator("#last-check")).to_contain_text("can be reached.")

    plain.get_by_role("button", name="Fetch the whole log").click()
    reload_until(plain, "#run", "Succeeded on 1 guest.")
    plain.goto(address)
    with plain.expect_download() as download:
        plain.get_by_role("link", name="web-serial.log").click()
    assert download.value.suggested_filename == "web-serial.log"

    plain.get_by_role("button", name="Pause").click()
    reload_until(plain, "#run", "Pause succeeded.")
    plain.goto(address)
    reload_until(plain, "#guest", "paused by request")
    plain.get_by_role("button", name="Force off").click()
    expect(plain.get_by_role("heading", name="Force off")).to_be_visible()
    plain.locator("form .button--danger").click()
    reload_until(plain, "#run", "Force off succeeded.")
    plain.goto(address)
    reload_until(plain, "#guest", "shut off by request")
    context.close()


def reload_until(page: Page, part: str, words: str) -> None:
    """Load a page again until a part of it says so, as a user without scripts does."""

    def is_said() -> bool:
        page.reload()
        return words in " ".join(page.locator(part).inner_text().split())

    expect(page.locator(part)).to_be_visible()
    wait_until(is_said, f"{part} does not say {words}", timeout_s=120, pause_s=0.5)
