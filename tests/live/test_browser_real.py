"""A researcher watches real guests: coming up, cancelled, busy, and without scripts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import signed_in
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import Guest, project, ran

pytestmark = [pytest.mark.browser, pytest.mark.live]
DATA = Path(__file__).parents[1] / "data/live"
TALKING = DATA / "talking"
# 100 a second, each 1400 bytes with 42 of headers.
PING = "/usr/bin/ping -q -i 0.01 -s 1400 -w 600 10.0.0.6"
PING_BYTES_PER_S = 100 * 1442
RATE = re.compile(r"on br0 received ([\d.]+) KiB/s, sent ([\d.]+) KiB/s")


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


@pytest.fixture(scope="module")
def twins(stack: Stack, owner: Client) -> Iterator[str]:
    """A testbed that is up: `near` on main, `away` on host-b, with a tunnel between."""
    slug = "watched-twins"
    owner.create_testbed(slug, DATA / "twins")
    up = ran(owner, slug, "up")
    assert up.status == "succeeded", up.words
    yield slug
    assert ran(owner, slug, "down").status == "succeeded"


def test_diagram_shows_the_traffic_of_real_guests(
    stack: Stack, chromium: Browser, twins: str
):
    guest = Guest(stack, twins, "near")
    guest.run(f"{PING} > /dev/null 2>&1 < /dev/null &")
    with signed_in(chromium, stack.url, "owner") as page:
        page.goto(f"/testbeds/{twins}/")
        near, away = page.locator("#net-guest-near"), page.locator("#net-guest-away")

        expect(near).to_have_attribute("aria-label", RATE)
        for _ in range(2):  # a whole time between two looks
            before = near.get_attribute("aria-label")
            expect(near).not_to_have_attribute("aria-label", before or "")
        found = RATE.search(near.get_attribute("aria-label") or "")
        assert found
        for rate in found.groups():
            # The guest is slow, and two looks are never read at exactly their times.
            assert 0.3 < float(rate) * 1024 / PING_BYTES_PER_S < 1.7
        expect(away).to_have_attribute(
            "aria-label", re.compile(RATE.pattern.replace("br0", "br1"))
        )
        expect(near.locator(".net__flow")).to_have_count(1)
        expect(near.locator(".net__rate").first).to_contain_text("KiB/s")
        expect(page.locator(".net__legend")).to_contain_text(" to ")
        expect(page.locator(".net__line--tunnel[class*=net__flow]")).to_have_count(0)
        with page.expect_download() as svg:
            page.get_by_role("button", name="Save as SVG").click()
        assert re.search(r"↓[\d.]+ KiB/s", svg.value.path().read_text())

        guest.run("pkill ping")
        expect(near).to_have_attribute("aria-label", re.compile("under 1 KiB/s each"))
        expect(near.locator(".net__flow")).to_have_count(0)


def test_serial_log_of_a_real_guest_is_read_without_scripts(
    stack: Stack, chromium: Browser, twins: str
):
    address = f"/testbeds/{twins}/guests/near/"
    with signed_in(chromium, stack.url, "owner") as page:
        for button, words in (
            ("Check", "Check succeeded."),
            ("Fetch the whole log", "Succeeded on 1 guest."),
        ):
            page.goto(address)
            page.get_by_role("button", name=button).click()
            expect(page.locator("#run-outcome")).to_contain_text(words)
        context = chromium.new_context(
            base_url=stack.url,
            storage_state=page.context.storage_state(),
            java_script_enabled=False,
        )
        plain = context.new_page()

        plain.goto(address)

        expect(plain.locator("#console")).to_contain_text("testbed guest ready")
        with plain.expect_download() as download:
            plain.get_by_role("link", name="near-serial.log").click()
        assert b"testbed guest ready" in download.value.path().read_bytes()
        jump = plain.locator("#ssh-line")
        expect(jump).to_contain_text(
            project(stack, twins).read_state().guest("near").user
        )
        context.close()
