"""A researcher at work in a real browser: the product runs, its hosts are rehearsed.

Redis, Celery worker and Daphne are the real ones; guests on real hosts are the
business of the quickstart test. Every page must be free of console errors, which
includes violations of the content security policy. The editor is in
test_browser_editor.py.
"""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import YAML, create, sign_in, signed_in
from tests.live.stack import Stack
from tests.live.watch import key_of

pytestmark = pytest.mark.browser
# Replaces the lines of a log by a number of others.
REPLACE_LINES = """(log, count) => {
  log.querySelectorAll(".line").forEach(line => line.remove());
  for (let number = 1; number <= count; number++) {
    const line = document.createElement("div");
    line.className = "line";
    line.textContent = number;
    log.append(line);
  }
}"""
# Returns text and decoration of each link whose parent holds more than the link.
LINKS_AMID_WORDS = """links => links
  .filter(link => link.parentElement.textContent.trim() !== link.textContent.trim())
  .map(link => [link.textContent, getComputedStyle(link).textDecorationLine])"""
IMAGE_OF = """
from django.utils import timezone
from testbed.models import Host, ImageStore
image = dict.fromkeys(("disk_bytes", "size_bytes", "virtual_bytes"), 4096)
image |= dict.fromkeys(("made_at", "used_at", "inode", "links"), 1)
image |= {{"name": "tiny-0123456789abcdef.raw", "kind": "base image", "blob": ""}}
image |= {{"label": "", "kept": "", "testbeds": {{{slug!r}: 2}}, "others": []}}
now = timezone.now()
ImageStore.objects.update_or_create(
    host=Host.objects.get(name="main"),
    defaults={{"images": [image], "looked_at": now, "seen_at": now}},
)
"""


def test_example_is_created_and_looked_at(page: Page):
    page.locator(".head").get_by_role("link", name="New testbed").click()
    page.get_by_role("button", name="Create from two-bridges").click()

    expect(page.get_by_role("heading", name="two-bridges", exact=True)).to_be_visible()
    expect(page.get_by_text("This testbed is a draft.")).to_be_visible()
    page.get_by_role("link", name="Testbeds").first.click()
    expect(page.locator("#testbeds a", has_text="two-bridges")).to_be_visible()


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
    page.get_by_role("button", name="Down", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Down succeeded.")


def test_second_tab_follows_without_a_reload(
    page: Page, product: Stack, chromium: Browser
):
    create(page, "tabs")
    page.get_by_role("button", name="Generate artefacts").click()
    page.wait_for_url(re.compile(r"/runs/\d+/"))
    second = page.context.new_page()

    second.goto(page.url)

    expect(second.locator("#run-outcome")).to_contain_text(
        "Generate artefacts succeeded."
    )
    expect(page.locator("#run-outcome")).to_contain_text(
        "Generate artefacts succeeded."
    )


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


def test_log_is_searched_and_keeps_the_search_for_another_resource(page: Page):
    create(page, "searched")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    lines = page.locator("#log-lines .line:visible")
    expect(lines).not_to_have_count(0)

    page.get_by_label("Search the lines that are loaded").fill("no such words")
    page.locator("#stage-start-guests summary").click()
    page.locator("#stage-start-guests [data-resource=web]").click()

    expect(page.locator(".log__filter")).to_contain_text("web")
    expect(lines).to_have_count(0)
    page.get_by_label("Search the lines that are loaded").fill("")
    expect(lines).not_to_have_count(0)


def test_log_shows_one_level_breaks_lines_and_is_copied(page: Page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    create(page, "levels")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    lines = page.locator("#log-lines .line:visible")
    expect(lines).not_to_have_count(0)

    page.get_by_label("Level").select_option("Error output")
    expect(lines).to_have_count(0)
    page.get_by_label("Level").select_option("Progress")
    expect(lines).not_to_have_count(0)
    page.get_by_label("Wrap").uncheck()
    expect(page.locator("#log")).to_have_class(re.compile("log--unwrapped"))
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()

    copied = page.evaluate("navigator.clipboard.readText()")
    assert len(copied.splitlines()) == lines.count()


def test_log_panel_is_as_high_as_its_lines_need_up_to_the_window(page: Page):
    create(page, "low")
    page.get_by_role("button", name="Generate artefacts").click()
    expect(page.locator("#run-outcome")).to_contain_text("artefacts succeeded.")
    page.reload()
    panel, lines = page.locator("#log"), page.locator("#log-lines")

    lines.evaluate(REPLACE_LINES, 3)
    low = panel.bounding_box()["height"]
    lines.evaluate(REPLACE_LINES, 300)
    high = panel.bounding_box()["height"]

    assert low < 300 < high < page.viewport_size["height"]


def test_links_amid_words_of_the_images_are_underlined(
    product: Stack, chromium: Browser
):
    product.add_user("image-admin", is_admin=True)
    with signed_in(chromium, product.url, "image-admin") as page:
        create(page, "imaged")
        key = key_of(product, "imaged")
        product.shell(IMAGE_OF.format(slug=key))

        page.goto("/images/")

        links = page.locator("main a").evaluate_all(LINKS_AMID_WORDS)
        assert links == [["image-admin/imaged", "underline"]]


def test_many_files_scroll_in_their_panel(page: Page, tmp_path: Path):
    create(page, "crowded")
    files = [tmp_path / f"file-{number}.txt" for number in range(60)]
    for file in files:
        file.write_text("x")
    page.get_by_text("Add or replace files").click()
    page.locator("input[name=uploads]").set_input_files(files)
    page.get_by_role("button", name="Save files").click()

    expect(page.locator("#files .files__row")).to_have_count(61)
    assert page.locator("#files .files").bounding_box()["height"] <= 420


def test_yaml_that_cannot_be_brought_up_is_drawn_and_refused(refused: Page):
    box = (
        "  - {name: box, interfaces: [{bridge: lan}], docker: {image: nginx}}\nnetwork:"
    )
    create(refused, "boxed", YAML.replace("network:", box))

    expect(refused.locator("#not-built")).to_contain_text("guest box (docker)")
    expect(refused.locator("svg.net")).to_contain_text("docker nginx")
    refused.locator("#do-up").click()
    title = "This version cannot bring up guest box (docker)."
    expect(refused.locator("#refusal")).to_contain_text(title)


def test_artefacts_are_looked_at_and_downloaded(page: Page):
    create(page, "made")
    page.get_by_role("link", name="Artefacts").click()
    page.get_by_role("button", name="Generate artefacts").click()
    expect(page.locator("#run-outcome")).to_contain_text(
        "Generate artefacts succeeded."
    )

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
    expect(other.get_by_text("belongs to another user")).to_be_visible()
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


@pytest.mark.parametrize("has_scripts", [True, False])
def test_diagram_wider_than_a_phone_says_that_it_scrolls(
    product: Stack, chromium: Browser, page: Page, has_scripts: bool
):
    slug = f"phone-{has_scripts}".lower()
    create(page, slug)
    phone = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        viewport={"width": 390, "height": 800},
        java_script_enabled=has_scripts,
    )
    small = phone.new_page()

    small.goto(f"/testbeds/{slug}/")

    diagram = small.get_by_role("region", name="Diagram of the network")
    hint = small.get_by_text("Scroll sideways to see the rest of the network.")
    expect(hint).to_be_visible()
    assert diagram.bounding_box()["width"] <= 390
    phone.close()


def test_diagram_that_fits_is_no_stop_of_the_keyboard(page: Page):
    create(page, "fits")

    expect(page.get_by_text("Scroll sideways")).to_be_hidden()
    diagram = page.get_by_role("region", name="Diagram of the network")
    assert diagram.get_attribute("tabindex") is None


@pytest.mark.parametrize("path", ["/", "/hosts/", "/testbeds/new/"])
def test_page_fits_a_phone_and_names_its_menu(page: Page, path: str):
    create(page, f"fits{len(path)}")
    page.set_viewport_size({"width": 390, "height": 800})

    page.goto(path)

    expect(page.locator(".top__user")).to_have_accessible_name("owner")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for word in page.locator("main .status:visible").all():
        box = word.bounding_box()
        assert box["x"] + box["width"] <= 390


def test_chosen_colours_are_kept(page: Page):
    toggle = page.locator("[data-theme-toggle]")

    toggle.click()
    toggle.click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
