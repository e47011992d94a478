"""Commands in guests in a real browser: ticks, keys, recall, and answers as they come.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import create, signed_in
from tests.live.stack import Stack

pytestmark = pytest.mark.browser


def bring_up(page: Page, slug: str) -> None:
    create(page, slug)
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto(f"/testbeds/{slug}/")


def test_ticked_guests_run_a_command_from_the_keyboard(page: Page):
    bring_up(page, "keyed")
    selection, match = page.locator("[name=selection]"), page.locator("#match")
    line = page.locator("[name=line]")

    page.get_by_label("web", exact=True).check()
    expect(match).to_contain_text("1 guest web")
    page.get_by_label("Select all").check()
    expect(match).to_contain_text("2 guests db,web")
    assert selection.input_value() == "web,db"
    line.fill("uname -a")
    line.press("Control+Enter")

    expect(page.locator("#run-outcome")).to_contain_text("Command succeeded.")
    expect(page.locator("#answers-head")).to_contain_text("2 of 2 guests")
    expect(page.locator("#answers-list")).to_contain_text("exit code 0")

    page.goto("/testbeds/keyed/")
    line.fill("half")
    line.press("ArrowUp")
    expect(line).to_have_value("uname -a")
    line.press("ArrowDown")
    expect(line).to_have_value("half")


def test_files_are_pushed_from_the_keyboard(page: Page):
    bring_up(page, "pushed")
    source, target = page.locator("[name=source]"), page.locator("[name=target]")
    page.locator("[name=selection]").fill("web,db")
    expect(source).to_be_hidden()

    page.locator("[name=form][value=command]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("[name=line]")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(source).to_be_focused()
    page.keyboard.press("ArrowDown")
    target.fill("/srv/site")
    target.press("Control+Enter")

    expect(page.locator("#run-outcome")).to_contain_text("Push succeeded.")
    expect(page.locator("#answers-list")).to_contain_text("1 file")
    expect(page.locator("#answers-list")).to_contain_text("digest verified")
    expect(page.locator("#answers-head progress")).to_have_count(0)


def test_bar_keeps_what_was_typed_when_the_page_gets_news(page: Page):
    bring_up(page, "typed")
    line = page.locator("[name=line]")
    page.get_by_label("db", exact=True).check()
    line.fill("uptime")
    page.get_by_role("heading", name="typed", exact=True).click()

    with page.expect_response("**/testbeds/owner/typed/live/") as news:
        page.evaluate("htmx.trigger('#live', 'poll')")

    news.value.finished()
    expect(line).to_have_value("uptime")
    expect(page.get_by_label("db", exact=True)).to_be_checked()


def test_bar_speaks_of_hosts_when_they_are_chosen(
    page: Page, product: Stack, chromium: Browser
):
    bring_up(page, "hosted")
    product.add_user("hosts-admin", is_admin=True)

    with signed_in(chromium, product.url, "hosts-admin") as admin:
        admin.goto("/testbeds/hosted/")
        admin.wait_for_load_state("networkidle")  # a request less would be aborted
        selection = admin.locator("[name=selection]")
        label = admin.locator("label[for=command-selection]")
        push = admin.locator("[name=form][value=push]")
        push.check()
        for targets, name, example, pattern in (
            ("hosts", "Hosts", "main, host-[1-3]", "!main"),
            ("guests", "Guests", "web-[0-3], db", "!web-2"),
        ):
            admin.locator(f"[name=targets][value={targets}]").check()
            expect(selection).to_have_attribute("placeholder", example)
            expect(label).to_have_text(name, use_inner_text=True)
            expect(admin.locator("#match")).to_contain_text(pattern)
            expect(push).to_be_visible(visible=targets == "guests")
            expect(push).not_to_be_checked()


def test_command_runs_without_a_script(page: Page, product: Stack, chromium: Browser):
    bring_up(page, "unscripted")
    context = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        java_script_enabled=False,
    )
    plain = context.new_page()

    plain.goto("/testbeds/unscripted/")
    plain.get_by_label("web", exact=True).check()
    plain.locator("[name=line]").fill("id")
    plain.get_by_role("button", name="Run", exact=True).click()

    expect(plain.locator(".run-head__command")).to_contain_text("id on web")
    context.close()


def test_refused_command_is_told_where_its_form_is(refused: Page):
    bring_up(refused, "refused")
    line = refused.locator("[name=line]")
    refused.locator("[name=selection]").fill("nobody")
    line.fill("id")
    line.press("Control+Enter")

    problem = refused.locator("#command-bar #refusal")
    expect(problem).to_contain_text("There is no guest nobody")
    expect(problem).to_be_focused()
    expect(problem).to_be_in_viewport()
    expect(line).to_have_value("id")
