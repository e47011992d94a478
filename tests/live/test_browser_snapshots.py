"""Group snapshots, schedules and the admin's list of snapshots in a real browser.

Redis, Celery worker with its beat and Daphne are the real ones, the hosts are rehearsed.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import create, signed_in
from tests.live.stack import Stack

pytestmark = pytest.mark.browser
LIST = "/admin/testbed/labsnapshot/"


@pytest.fixture(name="office")
def _office(product: Stack, chromium: Browser) -> Iterator[Page]:
    """The page of a lab admin."""
    product.add_user("boss", is_admin=True)
    with signed_in(chromium, product.url, "boss") as page:
        yield page


def take(page: Page, slug: str, guest: str, name: str) -> None:
    page.goto(f"/testbeds/{slug}/snapshots/")
    page.get_by_label("Guest", exact=True).select_option(guest)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Take snapshot").click()
    outcome(page)


def outcome(page: Page) -> None:
    expect(page.locator("#run-outcome")).to_contain_text("succeeded.")


def test_group_snapshot_is_taken_shown_restored_and_deleted(product: Stack, page: Page):
    create(page, "moment")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    take(page, "moment", "@all", "together")

    page.goto("/testbeds/moment/snapshots/")
    group = page.locator("#group-together")
    summary = group.locator("summary")
    expect(summary).to_contain_text("Each guest stood still for at most")
    expect(summary).to_contain_text("all stopped within")
    # While the details are open, the page waits with what the next look at hosts sees.
    restore = page.get_by_role("button", name="Restore group snapshot together…")
    expect(restore).to_be_visible()
    summary.focus()
    summary.press("Enter")
    pauses = group.locator("tbody tr")
    guests = page.locator("section[id^='of-']")
    expect(pauses).to_have_count(guests.count())
    expect(pauses.first).to_contain_text(" s")
    expect(guests.first).to_contain_text("of a group snapshot")
    page.set_viewport_size({"width": 390, "height": 844})
    lines = guests.first.locator("h2 a").evaluate("e => e.getClientRects().length")
    assert lines == 1  # the guest's name is not cut to the width that its status leaves
    page.set_viewport_size({"width": 1280, "height": 844})

    restore.press("Enter")
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_have_text("Restore group snapshot together?")
    expect(page.get_by_label("Guests")).to_contain_text("together of")
    keep = page.get_by_label("Take a group snapshot of the present state first")
    expect(keep).to_be_checked()
    page.get_by_label("Its name").fill("present")
    page.get_by_role("button", name="Restore ").click()
    outcome(page)

    page.goto("/testbeds/moment/snapshots/")
    expect(page.locator("#group-present")).to_be_visible()
    page.get_by_role("button", name="Delete group snapshot together…").click()
    expect(heading).to_have_text("Delete group snapshot together?")
    page.get_by_role("link", name="Keep it").click()
    page.get_by_role("button", name="Delete group snapshot together…").click()
    page.get_by_role("button", name="Delete together").click()
    outcome(page)

    page.goto("/testbeds/moment/snapshots/")
    expect(page.locator("#group-present")).to_be_visible()
    expect(group).to_have_count(0)


def test_schedule_is_set_and_an_admin_deletes_what_was_taken(
    product: Stack, page: Page, office: Page
):
    create(page, "semester")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto("/testbeds/semester/snapshots/")
    page.locator("#weekly-at").fill("03:30")
    page.locator("#weekly-keep").fill("2")
    page.get_by_role("button", name="Set: Weekly").press("Enter")
    schedules = page.locator("#schedules")
    expect(schedules).to_contain_text("Every Sunday at 03:30 UTC, the last 2 stay.")

    product.shell(
        "from testbed.snapshots.schedules import take_snapshots\n"
        "from testbed.models import Testbed\n"
        "take_snapshots.delay(Testbed.objects.get(name='semester').pk, 'weekly')"
    )
    expect(page.locator("#snapshots")).to_contain_text("owner, weekly schedule")
    page.reload()
    expect(schedules.get_by_role("link", name="run ")).to_be_visible()
    expect(schedules).to_contain_text("succeeded")
    take(page, "semester", "web", "by-hand")

    office.goto("/hosts/")
    office.get_by_role("link", name="Snapshots").click()
    by_hand = office.get_by_role("row").filter(has_text="by-hand")
    expect(office.locator("#result_list")).to_contain_text("weekly-")

    def is_listed() -> bool:
        office.reload()
        return by_hand.count() == 1

    for _ in range(30):
        if is_listed():
            break
        office.wait_for_timeout(1000)
    office.goto(f"{LIST}?q=semester")
    office.locator("#action-toggle").check()
    office.get_by_label("Action:").select_option(label="Delete…")
    office.get_by_role("button", name="Go").click()
    expect(office.get_by_role("heading", name="Delete 3 snapshots?")).to_be_visible()
    expect(office.get_by_label("To be erased")).to_contain_text("by-hand")
    office.get_by_role("button", name="Delete 3 snapshots").click()
    expect(office.locator(".messagelist")).to_contain_text("1 run started, 1 waiting.")

    page.goto("/testbeds/semester/snapshots/")
    expect(page.locator("#snapshots")).to_contain_text("0 snapshots")
    page.get_by_role("button", name="Remove: Weekly").click()
    expect(schedules).not_to_contain_text("Every Sunday")
