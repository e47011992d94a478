"""The editor of kvm-compose.yaml in a real browser: findings, keys, saves, conflicts.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed. What was
typed is never lost without a word, and it works without JavaScript, too. Other pages
are in test_browser.py.
"""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import YAML, create
from tests.live.stack import Stack

pytestmark = pytest.mark.browser


def test_error_is_found_at_its_line_while_one_types(page: Page):
    create(page, "edited")
    page.get_by_role("link", name="Edit", exact=True).click()
    text = page.locator("#editor-text")
    lines = page.locator(".editor__lines li")
    expect(lines).to_have_count(YAML.count("\n") + 1)

    text.fill(YAML.replace("cpus: 1", "cpus: one", 1))
    expect(lines.nth(3)).to_have_class("editor__line--error")
    expect(lines.nth(3)).to_contain_text("error in line 4")
    expect(page.locator("[data-said][role=status]")).to_have_text("1 error")
    page.get_by_role("link", name="line 4").click()
    chosen = text.evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    assert "one" in chosen
    text.fill(f"# mine\n{YAML}")
    expect(page.get_by_text("No problems in the YAML.")).to_be_visible()
    expect(page.locator(".editor__line--error")).to_have_count(0)
    expect(page.get_by_text("unsaved", exact=True)).to_be_visible()

    text.press("Control+s")
    expect(page.get_by_text("kvm-compose.yaml was saved.")).to_be_visible()
    expect(page.get_by_text("unsaved", exact=True)).to_be_hidden()
    page.reload()
    expect(text).to_have_value(f"# mine\n{YAML}")


def test_tab_indents_and_escape_leaves_the_editor(page: Page):
    create(page, "tabbed")
    page.goto("/testbeds/tabbed/edit/")
    text = page.locator("#editor-text")

    text.press("Control+Home")
    text.press("Tab")
    expect(text).to_have_value(f"  {YAML}")
    expect(text).to_be_focused()
    text.press("Control+z")
    expect(text).to_have_value(YAML)
    text.press("Escape")
    text.press("Tab")

    expect(page.locator("#save")).to_be_focused()


def test_unsaved_text_is_not_lost_by_leaving(page: Page):
    create(page, "kept")
    page.goto("/testbeds/kept/edit/")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))

    page.locator("#editor-text").press("x")
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Hosts").click()
    expect(page.locator("#editor-text")).to_have_value(re.compile("x"))

    assert asked == ["beforeunload"]
    page.locator("#editor-text").press("Control+z")


def test_signed_out_editor_says_so_before_a_save_is_lost(page: Page):
    create(page, "expired")
    page.goto("/testbeds/expired/edit/")
    page.context.clear_cookies(name="sessionid")

    page.locator("#editor-text").press("x")

    said = page.locator("[data-said][role=status]")
    expect(said).to_contain_text("You were signed out.")
    page.locator("#editor-text").press("Control+z")


def test_editor_saves_without_javascript(page: Page, product: Stack, chromium: Browser):
    create(page, "plain")
    cookies = page.context.cookies()
    context = chromium.new_context(base_url=product.url, java_script_enabled=False)
    context.add_cookies(cookies)
    plain = context.new_page()

    plain.goto("/testbeds/plain/edit/")
    plain.locator("#editor-text").fill(YAML.replace("cpus: 1", "cpus: one", 1))
    plain.get_by_role("button", name="Save").click()

    expect(plain.get_by_text("kvm-compose.yaml was saved.")).to_be_visible()
    expect(plain.locator("#editor-findings")).to_contain_text("line 4")
    context.close()


def test_two_saves_meet_and_each_difference_is_chosen(refused: Page):
    page = refused
    create(page, "meeting")
    other = page.context.new_page()
    for tab, change in ((page, "# mine\n"), (other, "# theirs\n")):
        tab.goto("/testbeds/meeting/edit/")
        text = tab.locator("#editor-text")
        text.fill(change + text.input_value())
    other.locator("#save").click()
    expect(other.get_by_text("was saved.")).to_be_visible()

    page.locator("#save").click()
    expect(page.get_by_text("was changed by somebody else")).to_be_in_viewport()
    expect(page.locator(".compare__saved")).to_have_text("# theirs")
    expect(page.locator(".compare__typed")).to_have_text("# mine")
    page.get_by_role("button", name="Take the saved lines here").click()
    expect(page.get_by_text("There is no difference left.")).to_be_visible()
    page.locator("#editor-text").press("Control+End")
    page.keyboard.type("# both")
    page.keyboard.press("Control+s")

    expect(page.get_by_text("was saved.")).to_be_visible()
    assert page.locator("#editor-text").input_value() == f"# theirs\n{YAML}# both"
