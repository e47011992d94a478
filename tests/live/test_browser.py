"""A researcher at work in a real browser: the product runs, its hosts are rehearsed.

Redis, Celery worker and Daphne are the real ones; guests on real hosts are the
business of the quickstart test. Every page must be free of console errors, which
includes violations of the content security policy.
"""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import PATIENCE_MS, sign_in
from tests.live.stack import Stack

pytestmark = pytest.mark.browser
YAML = """\
machines:
  - name: web
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: tiny}}}
  - name: db
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: tiny}}}
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""


def create(page: Page, slug: str, yaml: str = YAML) -> None:
    page.goto("/testbeds/new/")
    page.get_by_label("Name", exact=True).fill(slug)
    page.get_by_label("kvm-compose.yaml").fill(yaml)
    page.get_by_role("button", name="Create testbed").click()
    expect(page.get_by_role("heading", name=slug, exact=True)).to_be_visible()


def test_example_is_created_and_looked_at(page: Page):
    page.get_by_role("link", name="New testbed").click()
    page.get_by_role("button", name="Create from two-bridges").click()

    expect(page.get_by_role("heading", name="two-bridges", exact=True)).to_be_visible()
    expect(page.get_by_text("Nothing is generated yet.")).to_be_visible()
    page.get_by_role("link", name="Testbeds").first.click()
    expect(page.get_by_role("link", name="two-bridges")).to_be_visible()


def test_form_answers_while_it_is_filled_in(page: Page):
    page.goto("/testbeds/new/")

    page.get_by_label("Name", exact=True).press_sequentially("Bad_name")
    expect(page.get_by_text("Use lower-case letters")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("good-name")
    page.get_by_label("Name", exact=True).press("End")
    expect(page.get_by_text("good-name is free.")).to_be_visible()
    page.get_by_label("kvm-compose.yaml").fill(YAML.replace("cpus: 1", "cpus: one", 1))

    expect(page.locator("#findings")).to_contain_text("line 4")


def test_folder_is_uploaded_with_its_paths(page: Page, tmp_path: Path):
    (tmp_path / "mine/scripts").mkdir(parents=True)
    (tmp_path / "mine/kvm-compose.yaml").write_text(YAML)
    (tmp_path / "mine/scripts/a.sh").write_text("echo a\n")

    page.goto("/testbeds/new/")
    page.get_by_label("Name", exact=True).fill("folder")
    page.locator("input[name=folder]").set_input_files(tmp_path / "mine")
    page.get_by_role("button", name="Create testbed").click()

    expect(page.get_by_role("link", name="scripts/a.sh", exact=True)).to_be_visible()


def test_up_is_watched_to_its_end_and_down_follows(page: Page):
    create(page, "watched")

    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    started = page.locator("#stage-start-guests")
    expect(started).to_contain_text("2 done")
    expect(page.locator("#stage-finish")).to_contain_text("succeeded")
    before = page.locator("#run").inner_text()
    page.reload()
    expect(page.locator("#run")).to_have_text(before, use_inner_text=True)

    page.get_by_role("link", name="To watched").click()
    expect(page.locator("#live")).to_contain_text("2 of 2 guests up")
    page.get_by_role("button", name="Down").click()
    expect(page.locator("#run-outcome")).to_contain_text("Down succeeded.")


def test_second_tab_follows_without_a_reload(
    page: Page, product: Stack, chromium: Browser
):
    create(page, "tabs")
    page.get_by_role("button", name="Generate").click()
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    second = page.context.new_page()

    second.goto(page.url)

    expect(second.locator("#run-outcome")).to_contain_text("Generate succeeded.")
    expect(page.locator("#run-outcome")).to_contain_text("Generate succeeded.")


def test_log_is_limited_to_one_resource(page: Page):
    create(page, "logged")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.locator("#stage-start-guests summary").click()

    page.locator("#stage-start-guests [data-resource=web]").click()

    expect(page.locator(".log__filter")).to_contain_text("web")
    who = page.locator(".line__who").all_inner_texts()
    assert set(who) <= {"web"}
    page.get_by_role("link", name="Show all resources").click()
    expect(page.get_by_text("all resources", exact=True)).to_be_visible()


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
    expect(page.get_by_text("Nothing to mend in the YAML.")).to_be_visible()
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


@pytest.fixture
def refused(product: Stack, chromium: Browser) -> Iterator[Page]:
    """A page that may be refused; the browser calls each refusal an error."""
    context = chromium.new_context(base_url=product.url)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    sign_in(page, "owner")
    yield page
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
    expect(page.get_by_text("There is no difference any more.")).to_be_visible()
    page.locator("#editor-text").press("Control+End")
    page.keyboard.type("# both")
    page.keyboard.press("Control+s")

    expect(page.get_by_text("was saved.")).to_be_visible()
    assert page.locator("#editor-text").input_value() == f"# theirs\n{YAML}# both"


def test_what_cannot_be_brought_up_is_drawn_and_refused(refused: Page):
    box = (
        "  - {name: box, interfaces: [{bridge: lan}], docker: {image: nginx}}\nnetwork:"
    )
    create(refused, "boxed", YAML.replace("network:", box))

    expect(refused.locator("#not-built")).to_contain_text("guest box (docker)")
    expect(refused.locator("svg.net")).to_contain_text("docker nginx")
    refused.locator("#do-up").click()
    title = "This version cannot bring up guest box (docker)."
    expect(refused.get_by_role("heading", name=title)).to_be_visible()


def test_artefacts_are_looked_at_and_downloaded(page: Page):
    create(page, "made")
    page.get_by_role("link", name="Artefacts").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator("#run-outcome")).to_contain_text("Generate succeeded.")

    page.goto("/testbeds/made/artefacts/")
    page.get_by_role("link", name="user-data").first.click()
    expect(page.locator("#artefact")).to_contain_text("#cloud-config")
    with page.expect_download() as download:
        page.get_by_role("link", name="All as .zip").click()

    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
    assert "made-artefacts/guests/web/domain.xml" in names
    assert not [name for name in names if name.endswith("-host-key")]


def test_stranger_finds_nothing(product: Stack, chromium: Browser, page: Page):
    create(page, "private")
    context = chromium.new_context(base_url=product.url)
    other = context.new_page()

    sign_in(other, "other")

    assert other.goto("/testbeds/private/").status == 404
    expect(other.get_by_text("belongs to somebody else")).to_be_visible()
    context.close()


def test_keyboard_reaches_content_menu_and_buttons(page: Page):
    create(page, "keys")
    page.goto("/testbeds/keys/")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    page.locator(".top__user").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")

    assert {"do-up", "up-options", "do-generate"} <= set(reached)
    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()
    assert page.evaluate("document.activeElement.className") == "top__user"


def test_chosen_colours_are_kept(page: Page):
    toggle = page.locator("[data-theme-toggle]")

    toggle.click()
    toggle.click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
