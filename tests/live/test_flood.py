"""Many guests talk all the time: the page stays usable, and every line is kept.

The lines come from real recorders in processes of their own, through rows, Daphne and
the websocket; only the guests are missing.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from testbed.client.watching import frames, send
from tests.live.flood import Flood, close_run, log_writers, open_run, read_line
from tests.live.stack import Stack

FLOOD = Flood(resources=40, lines_per_s=60, seconds=7)
MOST_LINES = 2000
YAML = """\
machines:
  - name: web
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: tiny}}}
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""
FROM_2000_ON = re.compile(r"^([2-9]\d{3}|\d{5,})$")
LONG_LINES, LONG = 20_000, 4000
SAY_LONG = f"""\
from orchestration.events import LogLine, Stream
from testbed.runs.recorder import Recorder
recorder = Recorder({{run}})
for number in range({LONG_LINES}):
    text = "%d " % number + "x" * {LONG}
    recorder.sink(LogLine(0, "guest-000", "main", Stream.STDOUT, text))
recorder.close()
"""


@pytest.fixture
def flooded(product: Stack, tmp_path: Path) -> Iterator[int]:
    """A run that is on, of a testbed of its own."""
    slug = f"flood{abs(hash(tmp_path)) % 10**6}"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kvm-compose.yaml").write_text(YAML)
    client = product.client("owner")
    client.create_testbed(slug, tmp_path / "mine")
    client.close()
    run = open_run(product, slug, FLOOD)
    yield run
    close_run(product, run)


@pytest.mark.browser
def test_page_stays_usable_in_a_flood_and_loses_nothing(
    product: Stack, flooded: int, page: Page
):
    page.goto(f"/runs/{flooded}/")
    with log_writers(product, [flooded], FLOOD, processes=2) as writing:
        page_shows_and_follows_the_tail_only(page)
        reader_goes_back_by_keyboard_amid_the_flood(page)
        for process in writing:
            assert process.wait(120) == 0

    reader_who_follows_again_sees_the_last_line(page)
    page.goto(f"/runs/{flooded}/?resource=guest-007&host=main")
    one_guests_log_has_all_its_lines_in_order(page)
    page.locator("#log-all").click()
    downloaded_log_has_all_lines_of_all_guests(page)


def page_shows_and_follows_the_tail_only(page: Page) -> None:
    expect(page.locator("#log-earlier [data-before]")).to_have_value(FROM_2000_ON)
    assert page.locator("#follow").is_checked()
    assert page.locator(".line").count() <= MOST_LINES


def reader_goes_back_by_keyboard_amid_the_flood(page: Page) -> None:
    lines, log = page.locator(".line"), page.locator("#log-lines")
    log.press("Home")
    expect(page.locator("#follow")).not_to_be_checked()
    first = int(lines.first.get_attribute("data-seq"))
    page.locator("#log-earlier-button").press("Enter")
    expect(lines.first).not_to_have_attribute("data-seq", str(first))
    assert int(lines.first.get_attribute("data-seq")) < first
    expect(page.locator("#log-lines:focus-within")).to_be_attached()
    assert log.evaluate("list => list.scrollTop") > 0
    assert lines.count() <= MOST_LINES


def reader_who_follows_again_sees_the_last_line(page: Page) -> None:
    last = f"{FLOOD.lines_each - 1} Unpacking"
    page.locator("#follow").check()
    expect(page.locator(".line").filter(has_text=last).last).to_be_visible()
    expect(page.locator("#log-newer")).to_be_hidden()
    expect(page.locator("#follow")).to_be_checked()


def one_guests_log_has_all_its_lines_in_order(page: Page) -> None:
    lines, earlier = page.locator(".line"), page.locator("#log-earlier-button")
    assert lines.count() < FLOOD.lines_each
    earlier.press("Enter")
    expect(lines).to_have_count(FLOOD.lines_each)
    expect(earlier).to_be_hidden()
    expect(page.locator("#log-lines")).to_be_focused()
    numbers = [
        read_line(text)[1] for text in page.locator(".line__text").all_inner_texts()
    ]
    assert numbers == list(range(FLOOD.lines_each))


def downloaded_log_has_all_lines_of_all_guests(page: Page) -> None:
    expect(page.get_by_text("all resources")).to_be_visible()
    with page.expect_download() as download:
        page.locator("#log-download").click()
    said = defaultdict(list)
    for line in Path(download.value.path()).read_text().splitlines():
        _, _, resource, _, text = line.split(" ", 4)
        said[resource].append(read_line(text)[1])
    assert len(said) == FLOOD.resources
    assert all(said[name] == list(range(FLOOD.lines_each)) for name in said)


@pytest.mark.slow
def test_slow_clients_cost_no_memory_and_miss_nothing(product: Stack, flooded: int):
    product.shell(SAY_LONG.format(run=flooded))
    pages, other = product.client("owner").pages, product.client("owner").pages
    before = peak_mib(product)

    with pages.socket(f"/ws/orchestration/{flooded}/?batch=1") as socket:
        send(socket, {"type": "subscribe", "after": 0})
        incoming = frames(socket)
        seen = numbers_in(next(incoming))
        # The server would have time to send everything.
        with pages.download(f"/runs/{flooded}/log.txt") as text:
            head = next(text)
            for _ in range(100):
                other.read("/hosts/")
            waiting = peak_mib(product)
            lines = (head + "".join(text)).splitlines()
        while len(seen) < LONG_LINES:
            seen += numbers_in(next(incoming))
    pages.close()
    other.close()

    assert seen == list(range(LONG_LINES))
    numbers = [int(line.split(" ", 5)[4]) for line in lines]
    assert numbers == list(range(LONG_LINES))
    # 80 MB in frames and 80 MB of text: a page of rows of each is held, not all.
    assert waiting - before < 50
    assert peak_mib(product) - before < 50


def numbers_in(frame: dict) -> list[int]:
    events = [e for e in frame.get("events", []) if e["kind"] == "log"]
    return [int(event["text"].split(" ")[0]) for event in events]


def peak_mib(product: Stack) -> float:
    """Return the most memory that the web server has used so far."""
    status = Path(f"/proc/{product.processes['web'].pid}/status").read_text()
    (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(peak.split()[1]) / 1024
