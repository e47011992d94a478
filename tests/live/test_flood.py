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

from testbed.client.api import frames, send
from tests.live.flood import Flood, close_run, open_run, read_line, talkers
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
    lines, earlier = page.locator(".line"), page.locator("#log-earlier-button")
    page.goto(f"/runs/{flooded}/")
    with talkers(product, flooded, FLOOD, processes=2) as talking:
        # The tail is shown and followed; much of what is before it is not on the page.
        expect(page.locator("#log-earlier [data-before]")).to_have_value(FROM_2000_ON)
        assert page.locator("#follow").is_checked()
        assert lines.count() <= MOST_LINES

        # Somebody reads what is there, and goes back by keyboard, in the flood.
        page.locator("#log-lines").press("Home")
        expect(page.locator("#follow")).not_to_be_checked()
        first = int(lines.first.get_attribute("data-seq"))
        earlier.press("Enter")
        expect(lines.first).not_to_have_attribute("data-seq", str(first))
        assert int(lines.first.get_attribute("data-seq")) < first
        expect(page.locator("#log-lines:focus-within")).to_be_attached()
        assert page.locator("#log-lines").evaluate("list => list.scrollTop") > 0
        assert lines.count() <= MOST_LINES

        for process in talking:
            assert process.wait(120) == 0

    last = f"{FLOOD.lines_each - 1} Unpacking"
    page.locator("#follow").check()
    expect(lines.filter(has_text=last).last).to_be_visible()
    expect(page.locator("#log-newer")).to_be_hidden()
    expect(page.locator("#follow")).to_be_checked()

    # One guest's lines are all there, from the first to the last.
    page.goto(f"/runs/{flooded}/?resource=guest-007&host=main")
    assert lines.count() < FLOOD.lines_each
    earlier.press("Enter")
    expect(lines).to_have_count(FLOOD.lines_each)
    expect(earlier).to_be_hidden()
    expect(page.locator("#log-lines")).to_be_focused()
    numbers = [
        read_line(text)[1] for text in page.locator(".line__text").all_inner_texts()
    ]
    assert numbers == list(range(FLOOD.lines_each))

    page.locator("#log-all").click()
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
    client, other = product.client("owner"), product.client("owner")
    before = peak_mib(product)

    with client.socket(flooded, "?batch=1") as socket:
        send(socket, {"type": "subscribe", "after": 0})
        incoming = frames(socket)
        seen = numbers_in(next(incoming))
        # The server would have time to send everything.
        with client.download(f"/runs/{flooded}/log.txt") as text:
            head = next(text)
            for _ in range(100):
                other.page("/hosts/")
            waiting = peak_mib(product)
            lines = (head + "".join(text)).splitlines()
        while len(seen) < LONG_LINES:
            seen += numbers_in(next(incoming))
    client.close()
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
