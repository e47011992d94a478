"""SSH keys in a real browser: added by the keyboard, seen on a guest's page, removed.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import re

import pytest
from playwright.sync_api import Page, expect

from orchestration.project.keys import fingerprint, generate_key_pair
from tests.live.browser import create
from tests.live.stack import PASSWORD

pytestmark = pytest.mark.browser


def test_key_comes_to_a_running_guest_and_leaves_it(page: Page):
    line = generate_key_pair("owner@laptop").public_line
    create(page, "with-keys")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")

    page.get_by_text("owner", exact=True).first.click()
    page.get_by_role("link", name="SSH keys").click()
    page.get_by_label("Public key").fill(line)
    page.get_by_label("Name", exact=True).fill("laptop")
    page.keyboard.press("Enter")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("table")).to_contain_text(fingerprint(line))

    page.goto("/testbeds/with-keys/guests/web/")
    expect(page.locator("#ssh")).to_contain_text("1 key of owner")
    expect(page.locator("#ssh-line")).to_contain_text("ssh -J ")
    copy = page.locator("#ssh").get_by_role("button")
    copy.press("Enter")
    # A browser without windows may have no clipboard.
    expect(copy).to_contain_text(re.compile("Copied|Selected: press Ctrl"))
    with page.expect_download() as saved:
        page.get_by_role("link", name="with-keys-ssh.zip").click()
    assert saved.value.suggested_filename == "with-keys-ssh.zip"

    page.goto("/ssh-keys/")
    page.get_by_role("button", name="Remove laptop").press("Enter")
    expect(page.get_by_text("None yet.")).to_be_visible()
    page.goto("/testbeds/with-keys/guests/web/")
    expect(page.locator("#ssh")).to_contain_text("owner has none.")


def test_private_key_is_named_as_one_and_not_kept(refused: Page):
    private = generate_key_pair("").private_openssh.decode()
    refused.goto("/ssh-keys/")

    refused.get_by_label("Public key").fill(private)
    refused.get_by_role("button", name="Add").click()

    expect(refused.get_by_role("alert")).to_contain_text("This is a private key.")
    expect(refused.get_by_label("Public key")).to_have_value("")
    expect(refused.get_by_label("Public key")).to_be_focused()
    expect(refused.get_by_text("None yet.")).to_be_visible()
