"""The editor of kvm-compose.yaml in a real browser: findings, keys, saves, conflicts.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed. What was
typed is never lost without a word, and it works without JavaScript, too. Other pages
are in test_browser.py.
"""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.live.browser import YAML, create
from tests.live.stack import CHECKOUT, Stack

pytestmark = pytest.mark.browser
BUNDLE = CHECKOUT / "static/vendor/codemirror.js"
# What is written, what is offered after it, and what is not.
OFFERS = [
    ("", {"machines", "network"}, {"cpus"}),
    ("machines:\n  - ", {"name", "interfaces", "libvirt"}, {"bridges"}),
    ("machines:\n- name: a\n  ", {"interfaces", "libvirt"}, {"name"}),
    ("machines:\n  - interfaces: [{", {"bridge", "mac", "ip"}, {"name"}),
    ("machines:\n  - libvirt: {libvirt_type: {", {"iso_guest"}, {"cpus"}),
    (
        "network: {bridges: [{name: lan}]}\nmachines: [{interfaces: [{bridge: ",
        {"lan"},
        {"ip"},
    ),
    (
        "machines: [{libvirt: {libvirt_type: {existing_disk: {driver_type: ",
        {"raw", "qcow2"},
        {"path"},
    ),
]


@pytest.fixture(autouse=True)
def bundle() -> None:
    """CodeMirror, which script/test builds."""
    if not BUNDLE.exists():
        pytest.skip("not built: static/vendor/codemirror.js")


def open_editor(page: Page, slug: str) -> Locator:
    """Create a testbed and return the text of its YAML in CodeMirror."""
    create(page, slug)
    page.goto(f"/testbeds/{slug}/edit/")
    return text_of(page, "kvm-compose.yaml")


def text_of(page: Page, path: str) -> Locator:
    """Return the text in CodeMirror as soon as it has taken the text area's place."""
    return page.get_by_role("textbox", name=path).and_(page.locator(".cm-content"))


def write(text: Locator, content: str) -> None:
    """Replace the text. Playwright's own `fill` makes inline styles, which CSP blocks."""
    text.press("Control+a")
    text.press("Delete")
    text.page.keyboard.insert_text(content)


def sent(page: Page) -> Locator:
    """Return the text area behind CodeMirror: what the form sends."""
    return page.locator("#editor-text")


def test_error_is_found_at_its_line_while_one_types(page: Page):
    text = open_editor(page, "edited")
    said = page.locator("[data-said][role=status]")

    write(text, YAML.replace("cpus: 1", "cpus: one", 1))
    expect(said).to_have_text("1 error")
    marked = page.locator(".cm-lintRange-error")
    expect(marked.first).to_contain_text("one")
    marked.first.hover()
    expect(page.locator(".cm-diagnostic")).to_contain_text("must be a whole number")
    page.get_by_role("link", name="line 4").click()
    page.keyboard.insert_text("1, memory_mb: 64}")
    expect(marked.first).not_to_contain_text("one")
    write(text, f"# mine\n{YAML}")
    expect(said).to_have_text("No problems")
    expect(page.get_by_text("No problems in the YAML.")).to_be_hidden()
    expect(marked).to_have_count(0)
    expect(page.get_by_text("unsaved", exact=True)).to_be_visible()

    text.press("Control+s")
    expect(page.get_by_text("kvm-compose.yaml was saved.")).to_be_visible()
    expect(page.get_by_text("unsaved", exact=True)).to_be_hidden()
    page.reload()
    expect(sent(page)).to_have_value(f"# mine\n{YAML}")


def test_findings_of_an_older_text_are_not_shown(page: Page):
    text = open_editor(page, "late")
    expect(page.locator("#editor-findings")).to_contain_text("No problems")
    held: list[Route] = []
    page.route("**/check/", lambda route: held.append(route), times=1)
    with page.expect_request("**/check/"):
        text.press("Control+End")
        page.keyboard.type("# one")
    page.evaluate(
        """() => {
            window.texts = [];
            const note = () => window.texts.push(document.body.textContent);
            const all = { childList: true, subtree: true };
            new MutationObserver(note).observe(document.body, all);
        }"""
    )

    with page.expect_response(lambda found: "STALE" not in found.text()):
        page.keyboard.type(" more")
        held[0].fulfill(body='<div id="editor-findings">STALE</div>')
    expect(page.locator("#editor-findings")).to_contain_text("No problems")

    assert not page.evaluate("window.texts.some((text) => text.includes('STALE'))")
    page.keyboard.press("Control+s")
    expect(page.get_by_text("kvm-compose.yaml was saved.")).to_be_visible()


def test_keys_and_values_are_offered_where_they_fit(page: Page):
    text = open_editor(page, "offers")
    labels = page.locator(".cm-completionLabel")

    for before, offered, not_offered in OFFERS:
        write(text, before)
        text.press("Control+Space")
        expect(labels.first).to_be_visible()
        found = set(labels.all_inner_texts())
        assert offered <= found, before
        assert not found & not_offered, before
        text.press("Escape")

    page.keyboard.press("Control+s")


def test_chosen_key_is_written_with_what_follows_it(page: Page):
    text = open_editor(page, "chosen")
    write(text, "machines:\n  - name: a\n    ")

    page.keyboard.type("interf")
    expect(page.locator(".cm-completionInfo")).to_contain_text("up to 32")
    page.get_by_role("option", name="interfaces").click()
    page.get_by_role("option", name="bridge").click()
    page.keyboard.type("lan")

    wanted = "machines:\n  - name: a\n    interfaces:\n      - bridge: lan"
    expect(sent(page)).to_have_value(wanted)
    page.keyboard.press("Control+s")


def test_key_is_explained_under_the_pointer(page: Page):
    open_editor(page, "explained")

    page.locator(".cm-line span").get_by_text("memory_mb").first.hover()

    expect(page.locator(".cm-tooltip-hover")).to_contain_text("MiB, 32 to 4194304.")
    expect(page.locator(".cm-tooltip-hover")).to_contain_text("whole number")


def test_long_text_is_searched_and_folded_and_leaves_save_in_view(page: Page):
    text = open_editor(page, "long")
    write(text, "network: {}\nmachines:\n" + "  - name: a\n" * 200)
    expect(page.locator("#save")).to_be_in_viewport()
    assert page.evaluate("innerHeight") > text.locator("..").bounding_box()["height"]

    text.press("Control+Home")
    page.keyboard.press("Control+f")
    page.keyboard.type("machines")
    expect(page.locator(".cm-searchMatch")).to_have_count(1)
    page.keyboard.press("Escape")
    page.get_by_title("Fold line", exact=True).first.click()
    expect(page.locator(".cm-foldPlaceholder")).to_be_visible()

    page.keyboard.press("Control+s")


def test_script_is_coloured_and_saved_too(page: Page):
    create(page, "scripted")
    page.goto("/testbeds/scripted/edit/setup.sh?new")
    text = text_of(page, "setup.sh")

    write(text, "#!/bin/sh\necho 'hello'\n")
    expect(page.locator(".cm-line span").get_by_text("'hello'")).to_be_visible()
    text.press("Control+s")

    expect(page.get_by_text("setup.sh was saved.")).to_be_visible()


def test_tab_indents_and_escape_leaves_the_editor(page: Page):
    text = open_editor(page, "tabbed")
    expect(page.get_by_text("leaves the text")).to_be_visible()

    text.press("Control+Home")
    text.press("Tab")
    expect(sent(page)).to_have_value(f"  {YAML}")
    expect(text).to_be_focused()
    text.press("Control+z")
    expect(sent(page)).to_have_value(YAML)
    text.press("Escape")
    text.press("Tab")

    expect(page.locator("#save")).to_be_focused()


def test_text_area_stays_where_codemirror_was_not_built(refused: Page):
    page = refused
    page.route("**/vendor/codemirror.js", lambda route: route.fulfill(status=404))
    create(page, "unbuilt")
    page.goto("/testbeds/unbuilt/edit/")

    sent(page).fill(YAML.replace("cpus: 1", "cpus: one", 1))
    page.get_by_role("link", name="line 4").click()
    chosen = sent(page).evaluate("e => e.value.slice(e.selectionStart, e.selectionEnd)")
    sent(page).press("Control+s")

    assert chosen.startswith("one")
    expect(page.get_by_text("kvm-compose.yaml was saved.")).to_be_visible()


def test_unsaved_text_is_not_lost_by_leaving(page: Page):
    text = open_editor(page, "kept")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))

    text.press("x")
    with page.expect_event("dialog"):
        page.get_by_role("link", name="Hosts").click()
    expect(sent(page)).to_have_value(re.compile("x"))

    assert asked == ["beforeunload"]
    text.press("Control+z")


def test_signed_out_editor_says_so_before_a_save_is_lost(page: Page):
    text = open_editor(page, "expired")
    page.context.clear_cookies(name="sessionid")

    text.press("x")

    said = page.locator("[data-said][role=status]")
    expect(said).to_contain_text("You were signed out.")
    text.press("Control+z")


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
        text = text_of(tab, "kvm-compose.yaml")
        write(text, change + YAML)
    other.locator("#save").click()
    expect(other.get_by_text("was saved.")).to_be_visible()

    page.locator("#save").click()
    expect(
        page.get_by_text("was changed by you, in another window or program")
    ).to_be_in_viewport()
    expect(page.locator(".compare__saved")).to_have_text("# theirs")
    expect(page.locator(".compare__typed")).to_have_text("# mine")
    page.get_by_role("button", name="Take the saved lines here").click()
    expect(page.get_by_text("There is no difference left.")).to_be_visible()
    text = text_of(page, "kvm-compose.yaml")
    text.press("Control+End")
    page.keyboard.type("# both")
    page.keyboard.press("Control+s")

    expect(page.get_by_text("was saved.")).to_be_visible()
    assert sent(page).input_value() == f"# theirs\n{YAML}# both"
