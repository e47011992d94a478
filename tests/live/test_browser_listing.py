"""The list of testbeds in a real browser: search, pages, a favourite, ticked testbeds.

Redis, Celery worker and Daphne are the real ones, the hosts are rehearsed.
"""

import re
import threading

import pytest
from playwright.sync_api import Browser, Page, Route, WebSocketRoute, expect

from tests.live.browser import create, signed_in
from tests.live.flood import Flood, close_run, open_run
from tests.live.stack import Stack

pytestmark = pytest.mark.browser
FILL = """
from django.contrib.auth.models import User
from testbed.models import Testbed
owner = User.objects.get(username="owner")
Testbed.objects.bulk_create(
    Testbed(owner=owner, slug=f"row-{n:02}", name=f"row-{n:02}", number=400 + n, description="A row")
    for n in range(60)
)
"""
CLEAR = "from testbed.models import Testbed; Testbed.objects.filter(number__gte=400).delete()"
END_TASK = """
from orchestration.events import Status, TaskFinished
from testbed.runs.recorder import Recorder
recorder = Recorder({run})
recorder.sink(TaskFinished(0, "guest-000", "main", Status.DONE))
recorder.close()
"""
SIXTY = "51\N{EN DASH}60 of 60"


@pytest.fixture
def rows(product: Stack):
    """Sixty testbeds that only the list knows."""
    product.shell(FILL)
    yield
    product.shell(CLEAR)


def test_search_pages_and_favourite_stay_in_the_address(page: Page, rows: None):
    page.goto("/")
    page.get_by_label("Name, description, tag or owner").fill("a row")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/\?q=a\+row$"))
    expect(page.locator("#testbed-row-00")).to_be_visible()

    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text(SIXTY)).to_be_visible()
    expect(page).to_have_url(re.compile(r"q=a\+row&page=2$"))
    star = page.get_by_role("button", name="Favourite: row-59")
    star.focus()
    page.keyboard.press("Enter")
    expect(star).to_have_attribute("aria-pressed", "true")

    page.go_back()
    # The favourite is the first of all now.
    first = page.locator("#testbeds tbody tr").first
    expect(first).to_have_id("testbed-row-59")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Favourites").select_option("favourites only")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#testbeds tbody tr")).to_have_count(1)
    page.get_by_role("link", name="Clear search and filters").click()
    expect(page.locator("#testbeds tbody tr")).to_have_count(50)


def test_ticked_testbeds_go_up_and_down_while_the_rows_follow(
    page: Page, product: Stack
):
    for name in ("first", "second"):
        create(page, f"tick-{name}")
    page.goto("/?q=tick-")
    page.get_by_label("Tick all of this page").check()
    page.locator("#ticked").get_by_role("button", name="Up").click()
    expect(page.get_by_text("Up was started: tick-first, tick-second.")).to_be_visible()

    page.goto("/?q=tick-")
    for name in ("first", "second"):
        row = page.locator("#testbeds tr", has_text=f"tick-{name}")
        expect(row).to_contain_text("succeeded")
        box = page.get_by_label(f"Tick tick-{name}")
        box.check()
    # The rows are brought up to date, and stay ticked.
    product.shell(
        "from testbed.models import Testbed; "
        "Testbed.objects.filter(name='tick-first').update(description='Told later')"
    )
    expect(page.locator("#testbeds tr", has_text="tick-first")).to_contain_text(
        "Told later"
    )
    expect(page.get_by_label("Tick tick-second")).to_be_checked()
    expect(page.locator("[data-ticked]")).to_have_text(" (2)")
    page.locator("#ticked").get_by_role("button", name="Down").click()
    expect(
        page.get_by_text("Down was started: tick-first, tick-second.")
    ).to_be_visible()

    page.goto("/activity/")
    recent = page.get_by_role("region", name="Recent activity")
    expect(recent.locator("li", has_text="tick-first").first).to_contain_text("Down")
    expect(recent.locator("li", has_text="tick-second").first).to_contain_text("Down")


def test_row_of_a_run_moves_without_a_poll(page: Page, product: Stack):
    create(page, "moves")
    run = open_run(product, "moves", Flood(2, 1, 1))
    page.goto("/?q=moves")
    row = page.locator("#testbeds tr", has_text="moves")
    expect(row).to_contain_text("Set up guests, 0 of 2")
    expect(page.locator("html[data-live]")).to_be_attached()
    row.get_by_role("link", name="Up").focus()

    def answer(route: Route) -> None:
        is_poll = "hx-request" in route.request.headers
        route.fulfill(status=204) if is_poll else route.continue_()

    page.route("**/*", answer)
    product.shell(END_TASK.format(run=run))
    expect(row).to_contain_text("Set up guests, 1 of 2")
    expect(row.get_by_role("link", name="Up")).to_be_focused()
    expect(page.locator("#running-count")).to_contain_text("going on now")
    close_run(product, run)
    expect(row).to_contain_text("succeeded")
    expect(page.locator("#running-count")).to_have_text("no run is going on")


def test_list_polls_more_often_while_its_socket_is_away(page: Page, product: Stack):
    sockets: list[WebSocketRoute] = []
    is_cut = threading.Event()

    def open_socket(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.close(code=1012) if is_cut.is_set() else socket.connect_to_server()

    page.route_web_socket("**/ws/testbeds/", open_socket)
    page.goto("/")
    live = page.locator("html[data-live]")
    expect(live).to_be_attached()

    is_cut.set()
    sockets[0].close(code=1012)
    expect(live).not_to_be_attached()
    with page.expect_request(lambda asked: "hx-request" in asked.headers):
        is_cut.clear()

    expect(live).to_be_attached()


def test_list_works_without_javascript(
    product: Stack, chromium: Browser, page: Page, rows: None
):
    context = chromium.new_context(
        base_url=product.url,
        storage_state=page.context.storage_state(),
        java_script_enabled=False,
    )
    plain = context.new_page()
    plain.goto("/?q=row")
    plain.get_by_role("button", name="Favourite: row-07").click()
    expect(plain).to_have_url(re.compile(r"/\?q=row$"))
    expect(plain.locator("#testbeds tbody tr").first).to_have_id("testbed-row-07")
    plain.get_by_label("Tick row-08").check()
    plain.locator("#ticked").get_by_role("button", name="Delete…").click()
    expect(plain.get_by_role("heading", name="Delete 1 testbed?")).to_be_visible()
    context.close()


def test_list_and_activity_fit_a_phone(product: Stack, chromium: Browser, rows: None):
    with signed_in(chromium, product.url, "owner") as page:
        page.set_viewport_size({"width": 390, "height": 800})
        for path in ("/", "/?condition=up&q=nothing", "/activity/"):
            page.goto(path)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width == 390, path


def test_longest_name_fits_a_phone(product: Stack, chromium: Browser):
    name = "w" * 40
    with signed_in(chromium, product.url, "owner") as page:
        page.set_viewport_size({"width": 390, "height": 800})
        create(page, name)
        for path in ("", "sharing/", "delete/", "copy/", "edit/", "record/"):
            page.goto(f"/testbeds/owner/{name}/{path}")
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width == 390, path
        page.goto("/")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
