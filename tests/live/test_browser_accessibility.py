"""Every page that a lab admin can reach by links, as axe judges it.

The pages are found by following links, one for each route, so that a new one is judged
without a line here. Light on a wide window, then dark on a telephone's, where nothing
may stick out at the side.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve
from playwright.sync_api import Browser, Error, Page, expect

from tests.live.browser import PATIENCE_MS, create, sign_in
from tests.live.stack import Stack

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "front_end/node_modules/axe-core/axe.min.js"
WIDE = {"width": 1280, "height": 900}
TELEPHONE = {"width": 390, "height": 844}
# Django's own pages, which are not ours to mend.
LEFT_OUT = ("/admin/",)
# The editor's lines are reached by the keyboard through the text inside of its scroller.
# A node of the diagram has a name that begins with the visible one, then says it in words.
JUDGE = """async () => {
  const found = await axe.run({exclude: ['.cm-scroller']}, {resultTypes: ['violations']});
  return found.violations.flatMap(rule => rule.nodes
    .filter(node => rule.id !== 'label-content-name-mismatch' ||
      !node.html.includes('class="net__to"'))
    .map(node => `${rule.id}: ${node.html.slice(0, 200)}`));
}"""
# Links of the diagram are no strings.
ADDRESSES = "all => all.map(a => new URL(a.getAttribute('href'), location).href)"
STICKS_OUT = (
    "document.documentElement.scrollWidth > document.documentElement.clientWidth"
)


@pytest.fixture(name="office")
def _office(product: Stack, chromium: Browser) -> Iterator[Page]:
    """A lab admin's page; the browser calls each question an error (status 409)."""
    if not AXE.exists():
        pytest.skip("axe-core is missing: npm ci in front_end")
    product.add_user("judge", is_admin=True)
    context = chromium.new_context(base_url=product.url)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    sign_in(page, "judge")
    yield page
    context.close()


def test_every_page_is_clean(office: Page):
    prepare(office)

    found = {path: faults(office) for path in pages(office)}

    assert len(found) > 30, sorted(found)
    assert {path: said for path, said in found.items() if said} == {}


def prepare(page: Page) -> None:
    """Make a testbed with something on each of its pages."""
    create(page, "walked")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto("/testbeds/walked/snapshots/")
    page.get_by_role("button", name="Take snapshot").click()
    expect(page.locator("#run-outcome")).to_contain_text("succeeded.")
    page.goto("/testbeds/walked/")
    page.locator("[name=selection]").fill("@all")
    page.locator("[name=line]").fill("uname -a")
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text("succeeded.")
    reserve(page)


def reserve(page: Page) -> None:
    """Reserve a little of a host for an hour or two."""
    page.goto("/reservations/new/")
    page.get_by_label("vCPUs").fill("1")
    page.get_by_label("Memory in MiB").fill("64")
    begin = datetime.fromisoformat(page.get_by_label("From").input_value())
    page.get_by_label("Until").fill((begin + timedelta(hours=1)).isoformat()[:16])
    page.get_by_role("button", name="Reserve", exact=True).click()
    expect(page.get_by_role("heading", name="Reservation 1")).to_be_visible()


def pages(page: Page) -> Iterator[str]:
    """Open a page of each route on a wide window, by following links; yield its address."""
    known, waiting = set[str](), ["/"]
    while waiting:
        path = waiting.pop(0)
        if (route := route_of(path)) in known:
            continue
        known.add(route)
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        if not is_page(page, path):
            continue
        links = page.locator("a[href]").evaluate_all(ADDRESSES)
        waiting += [path_of(link) for link in links if is_ours(link, page.url)]
        yield path


def is_page(page: Page, path: str) -> bool:
    """Go to an address; return whether there is a page, not a file or a download."""
    try:
        answer = page.goto(path)
    except Error as error:
        if "Download is starting" in error.message:
            return False
        raise
    return answer.headers.get("content-type", "").startswith("text/html")


def is_ours(link: str, here: str) -> bool:
    there = urlsplit(link)
    is_left_out = there.path.startswith(LEFT_OUT)
    return there.netloc == urlsplit(here).netloc and not is_left_out


def path_of(link: str) -> str:
    there = urlsplit(link)
    return f"{there.path}?{there.query}" if there.query else there.path


def route_of(path: str) -> str:
    """Return the route of an address with the names of its parameters."""
    there = urlsplit(path)
    try:
        route = resolve(there.path).route
    except Resolver404:
        return path
    return (
        f"{route}?{'&'.join(sorted(p.split('=')[0] for p in there.query.split('&')))}"
    )


def faults(page: Page) -> list[str]:
    """Return the faults of a page on a wide window, then on a telephone in the dark."""
    said = [f"light: {fault}" for fault in looked_at(page)]
    page.set_viewport_size(TELEPHONE)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.reload()
    return said + [f"dark: {fault}" for fault in looked_at(page)]


def looked_at(page: Page) -> list[str]:
    """Return the faults that axe finds, and whether something sticks out at the side."""
    page.evaluate(AXE.read_text())
    said = list(page.evaluate(JUDGE))
    return said + ["it sticks out at the side"] * page.evaluate(STICKS_OUT)
