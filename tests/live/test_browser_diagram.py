"""The diagram in a real browser: zoom, search, folding and saving, also across polls.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.live.browser import create
from tests.live.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.browser
GUEST = (
    "  - name: {}\n    interfaces: [{{bridge: {}}}]\n    libvirt: {{cpus: 1, "
    "memory_mb: 64, libvirt_type: {{cloud_image: {{name: tiny}}}}}}\n"
)
NETWORK = (
    "network:\n  bridges: [{name: lan}, {name: far}]\n  bridge_connections: "
    "{lan: far}\n  external_bridge: lan\n"
)
SVG = "{http://www.w3.org/2000/svg}"


def yaml_of(count: int) -> str:
    """Return a YAML of so many guests, on two bridges in turn."""
    guests = [GUEST.format(f"g{n}", ("lan", "far")[n % 2]) for n in range(count)]
    return f"machines:\n{''.join(guests)}{NETWORK}"


def generate(page: Page, slug: str) -> None:
    """Generate the artefacts in another tab, and show the diagram."""
    run(page, slug, "Generate artefacts")
    page.goto(f"/testbeds/{slug}/")
    expect(page.locator("#net-guest-g0")).to_be_visible()


def run(page: Page, slug: str, button: str) -> None:
    """Run a command in another tab."""
    other = page.context.new_page()
    other.goto(f"/testbeds/{slug}/")
    other.get_by_role("button", name=button, exact=True).click()
    expect(other.locator("#run-outcome")).to_contain_text("succeeded.")
    other.close()


def scale_of(page: Page) -> int:
    """Return the zoom in percent, as measured."""
    width = page.locator("#net").bounding_box()["width"]
    natural = page.locator("#net").evaluate("net => net.viewBox.baseVal.width")
    return round(100 * width / natural)


def region_of(page: Page) -> Locator:
    return page.get_by_role("region", name="Diagram of the network")


def scroll_of(page: Page) -> list[float]:
    return region_of(page).evaluate("at => [at.scrollLeft, at.scrollTop]")


def test_zoom_search_and_place_outlive_the_poll(page: Page):
    create(page, "zoomed", yaml_of(30))
    generate(page, "zoomed")
    before = scale_of(page)

    page.get_by_role("button", name="Zoom in").click()
    page.get_by_role("button", name="Zoom in").press("+")
    field = page.get_by_label("Search the diagram")
    field.fill("g17")
    expect(page.locator("#net-found")).to_have_text("1 found")
    expect(page.locator(".net__found--chosen")).to_be_in_viewport()
    assert scale_of(page) == pytest.approx(1.25**2 * before, abs=2)
    scroll = scroll_of(page)
    assert scroll != [0, 0]
    page.get_by_role("button", name="Whole").focus()
    page.locator("#net").evaluate("net => { net.dataset.old = 'yes' }")
    run(page, "zoomed", "Up")

    expect(page.locator("#net .net__guest--good")).to_have_count(30)
    expect(page.locator("#net[data-old]")).to_have_count(0)
    assert scale_of(page) == pytest.approx(1.25**2 * before, abs=2)
    assert scroll_of(page) == pytest.approx(scroll, abs=2)
    expect(page.get_by_role("button", name="Whole")).to_be_focused()
    expect(field).to_have_value("g17")
    expect(page.locator(".net__found")).to_have_count(1)
    expect(page.locator("[data-net-scale]")).to_have_text(f"{scale_of(page)} %")


def test_words_of_a_narrow_host_end_before_its_arrow(page: Page):
    create(page, "narrow", yaml_of(2))
    generate(page, "narrow")
    hosts = page.locator(".net__host").all()

    assert len(hosts) == 2
    for host in hosts:
        words = host.locator(".net__host-name").bounding_box()
        arrow = host.locator(".net__fold").bounding_box()
        assert words["x"] + words["width"] <= arrow["x"]


def test_mouse_zooms_where_it_is_and_drags_without_opening(page: Page):
    create(page, "dragged", yaml_of(12))
    generate(page, "dragged")
    guest = page.locator("#net-guest-g3")
    guest.scroll_into_view_if_needed()
    box = guest.bounding_box()
    at = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*at)

    page.keyboard.down("Control")
    page.mouse.wheel(0, -500)
    page.keyboard.up("Control")
    expect(page.locator(".diagram--bounded")).to_be_visible()
    after = guest.bounding_box()
    assert after["width"] > 1.5 * box["width"]
    assert after["x"] < at[0] < after["x"] + after["width"]
    assert after["y"] < at[1] < after["y"] + after["height"]

    scroll = scroll_of(page)
    page.mouse.down()
    page.mouse.move(at[0] - 40, at[1] - 30, steps=5)
    page.mouse.up()
    moved = scroll_of(page)
    assert moved[0] == pytest.approx(scroll[0] + 40, abs=2)
    expect(page).to_have_url(re.compile(r"/testbeds/owner/dragged/"))
    guest.click()
    expect(page.get_by_role("heading", name="g3", exact=True)).to_be_visible()


def test_keyboard_alone_zooms_moves_and_opens(page: Page):
    create(page, "steered", yaml_of(30))
    generate(page, "steered")
    before = scale_of(page)
    page.get_by_label("Search the diagram").focus()

    tab_to(page, "net-zoom-in")
    page.keyboard.press("Enter")
    tab_to(page, "net-region")
    for _ in range(3):
        page.keyboard.press("+")
    x, y = scroll_of(page)
    for key in ("ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    moved = [pytest.approx(x + 40, abs=5), pytest.approx(y + 40, abs=5)]
    wait_until(lambda: scroll_of(page) == moved, "the diagram was not moved")
    run(page, "steered", "Up")

    expect(page.locator("#net .net__guest--good")).to_have_count(30)
    expect(region_of(page)).to_be_focused()
    assert scale_of(page) == pytest.approx(1.25**4 * before, abs=2)
    page.keyboard.press("0")
    assert scroll_of(page) == [0, 0]
    tab_to(page, "net-guest-g3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="g3", exact=True)).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Go on with Tab until a part has the focus, and can be seen."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == name:
            break
    expect(page.locator(f"#{name}")).to_be_focused()
    expect(page.locator(f"#{name}")).to_be_in_viewport()


def test_two_fingers_pinch(product: Stack, chromium: Browser, page: Page):
    create(page, "pinched", yaml_of(6))
    phone = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        viewport={"width": 390, "height": 800},
        has_touch=True,
    )
    small = phone.new_page()
    small.goto("/testbeds/pinched/")
    expect(small.get_by_role("button", name="Whole")).to_be_visible()
    region_of(small).scroll_into_view_if_needed()
    box = region_of(small).bounding_box()
    before = scale_of(small)
    fingers = phone.new_cdp_session(small)

    for kind, apart in [("touchStart", 40), ("touchMove", 60), ("touchMove", 80)]:
        x, y = box["x"] + 180, box["y"] + 60
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        event = {"type": kind, "touchPoints": points}
        fingers.send("Input.dispatchTouchEvent", event)
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    expect(small.locator(".diagram--bounded")).to_be_visible()
    assert scale_of(small) > 1.3 * before
    assert small.evaluate("document.documentElement.scrollWidth") <= 390
    hint = small.get_by_text("Scroll sideways")
    expect(hint).to_be_visible()
    small.get_by_role("button", name="Whole").click()
    assert small.locator("#net").bounding_box()["width"] <= 390
    expect(hint).to_be_hidden()
    phone.close()


def test_fold_is_kept_by_address_and_poll_and_search_looks_inside(page: Page):
    create(page, "folded", yaml_of(20))
    generate(page, "folded")
    fold = page.locator("#net-fold-main")
    inside = page.locator("#net .net__guest").count()

    fold.focus()
    page.keyboard.press("Enter")

    expect(page).to_have_url(re.compile(r"\?fold=main$"))
    expect(page.get_by_role("link", name="Unfold host main")).to_be_focused()
    counted = page.locator("#net [data-folded='main']")
    expect(counted.first).to_contain_text("guests")
    assert page.locator("#net .net__guest").count() < inside
    name = counted.first.get_attribute("data-find").split()[0]
    page.get_by_label("Search the diagram").fill(name)
    expect(page.locator("#net-found")).to_contain_text("here in folded main")
    page.reload()
    expect(page.get_by_role("link", name="Unfold host main")).to_be_visible()
    assert "fold=main" in page.locator("#live").get_attribute("hx-get")
    page.get_by_role("link", name="Fold all").click()
    expect(page.get_by_role("link", name="Unfold all")).to_be_visible()
    expect(page.locator("#net a[href*='/guests/g']")).to_have_count(0)


def test_saved_pictures_need_nothing_else(page: Page, tmp_path: Path):
    create(page, "saved", yaml_of(4))
    page.emulate_media(color_scheme="dark")
    generate(page, "saved")

    with page.expect_download() as svg:
        page.get_by_role("button", name="Save as SVG").click()
    with page.expect_download() as png:
        page.get_by_role("button", name="Save as PNG").click()

    assert svg.value.suggested_filename == "saved.svg"
    text = svg.value.path().read_text()
    root = ET.fromstring(text)  # noqa: S314 - the page's own picture
    for word in ("var(", "class=", "href", "color-mix", "light-dark", "style="):
        assert word not in text, word
    words = "".join(root.itertext())
    assert all(f"g{n}" in words for n in range(4))
    background = root.find(f"{SVG}rect")
    assert background is not None
    assert background.get("fill") == "rgb(255, 255, 255)"
    fills = {part.get("fill") for part in root.iter(f"{SVG}rect")}
    assert len(fills) > 2
    content = png.value.path().read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(content[16:20], "big") == 2 * int(root.get("width"))


def test_diagram_without_scripts_scrolls_and_leads(
    product: Stack, chromium: Browser, page: Page
):
    create(page, "scripts-off", yaml_of(6))
    generate(page, "scripts-off")
    context = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        java_script_enabled=False,
    )
    plain = context.new_page()
    plain.goto("/testbeds/scripts-off/")

    expect(plain.get_by_role("button", name="Zoom in")).to_have_count(0)
    plain.get_by_role("link", name="Fold host main").click()
    expect(plain.get_by_role("link", name="Unfold host main")).to_be_visible()
    plain.get_by_role("link", name="Host main: its guests").click()
    expect(plain.get_by_role("heading", name="Guests").first).to_be_visible()
    context.close()
