"""A notification in a real browser: counted by the bell, shown on the screen, followed.

The headless browser has no screen for it, so the page's `Notification` writes down its
calls instead; permission, polls and addresses are the real ones.
"""

import pytest
from playwright.sync_api import Page, expect

from tests.live.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.browser
TELL = """
from django.contrib.auth.models import User
from testbed.models.notifications.choices import Kind
from testbed.notifications.telling import tell
tell([User.objects.get(username="owner")], Kind.RUN_ENDED, "Up of lab failed",
     text="web does not answer.", path="/trash/")
"""
FORGET = "from testbed.models import Notification; Notification.objects.all().delete()"
WRITE_DOWN = """
window.shown = [];
window.Notification = class {
  static permission = "granted";
  static async requestPermission() { return "granted"; }
  constructor(title, { body, tag }) {
    Object.assign(this, { title, body, tag });
    window.shown.push(this);
  }
};
"""
TITLES = "window.shown.map(({ title, body }) => `${title}: ${body}`)"


@pytest.fixture(autouse=True)
def forgotten(product: Stack):
    yield
    product.shell(FORGET)


def test_notification_is_counted_shown_once_and_followed(page: Page, product: Stack):
    page.add_init_script(WRITE_DOWN)
    page.goto("/notifications/settings/")
    page.get_by_role("button", name="Show notifications on this screen").click()
    expect(page.get_by_text("shown on this screen while a page")).to_be_visible()

    product.shell(FORGET)  # a run that took long has told of itself
    product.shell(TELL)
    page.goto("/")
    expect(page.get_by_role("link", name="Notifications, 1 unread")).to_be_visible()
    # The page's policy forbids the `eval` that `wait_for_function` repeats.
    wait_until(lambda: page.evaluate("window.shown.length"))
    assert page.evaluate(TITLES) == ["Up of lab failed: web does not answer."]

    page.goto("/hosts/")
    expect(page.get_by_role("link", name="Notifications, 1 unread")).to_be_visible()
    assert page.evaluate(TITLES) == []

    page.get_by_role("link", name="Notifications, 1 unread").click()
    page.get_by_role("link", name="Up of lab failed").click()
    expect(page.get_by_role("heading", name="Trash", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Notifications", exact=True)).to_be_visible()


def test_settings_are_kept(page: Page):
    page.goto("/notifications/settings/")
    box = page.get_by_role("checkbox", name="A host is away: Browser")
    box.uncheck()
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_text("What you are told of was changed.")).to_be_visible()
    expect(box).not_to_be_checked()
    box.check()
    page.get_by_role("button", name="Save").click()
