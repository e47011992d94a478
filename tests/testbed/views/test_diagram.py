"""The diagram on a testbed's page: its parts lead to guests, hosts fold."""

import html
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import ObservedGuest, Testbed
from tests.testbed.preparing import prepare
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/"
GUESTS = f"{PAGE}guests/"


def shown(browser: Client, address: str = PAGE) -> str:
    """Return a page that is there, as a browser reads it."""
    answer = browser.get(address)
    assert answer.status_code == 200, address
    return squeezed(answer.content.decode())


def diagram_of(page: str) -> str:
    return page.partition('<svg class="net')[2].partition("</svg>")[0]


def listed(page: str) -> set[str]:
    """Return the guests in a page's table."""
    return set(re.findall(r'<tr id="guest-([\w-]+)"', page))


def links_of(svg: str) -> dict[str, str]:
    """Return the address of each link by its label."""
    found = {}
    for tag in re.findall(r"<a [^>]*>", svg):
        label = re.search(r'aria-label="([^"]*)"', tag)
        address = re.search(r'href="([^"]*)"', tag)
        assert label
        assert address, tag
        found[html.unescape(label[1])] = html.unescape(address[1])
    return found


def many_guests(testbed: Testbed, count: int) -> None:
    """Plan so many guests on one bridge."""
    guest = (
        "  - name: g{}\n    interfaces: [{{bridge: lan}}]\n    libvirt: {{cpus: 1, "
        "memory_mb: 64, libvirt_type: {{cloud_image: {{name: ubuntu_22_04}}}}}}\n"
    )
    machines = "".join(guest.format(number) for number in range(count))
    network = "network: {bridges: [{name: lan}], external_bridge: lan}\n"
    testbed.project.yaml.write_text(f"machines:\n{machines}{network}")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())


def test_every_part_leads_to_its_guests(browser: Client, generated: Testbed):
    state = generated.project.read_state()

    links = links_of(diagram_of(shown(browser)))

    for bridge in state.network.bridges:
        address = links[f"Bridge {bridge.name} on {bridge.host}: its guests"]
        wanted = {
            guest.name
            for guest in state.guests
            if bridge.name in {i.bridge for i in guest.interfaces}
        }
        assert listed(shown(browser, address)) == wanted
    for guest in state.guests:
        address = links[f"Host {guest.host}: its guests"]
        assert guest.name in listed(shown(browser, address))
    joins = [label for label in links if "link of" in label or "tunnel" in label]
    assert joins
    for label in joins:
        assert listed(shown(browser, links[label])) == {"web", "db"}


def test_keyboard_meets_each_page_once(browser: Client, generated: Testbed):
    tags = re.findall(r"<a [^>]*>", diagram_of(shown(browser)))

    reached = [tag for tag in tags if 'tabindex="-1"' not in tag]
    assert len(reached) < len(tags)
    ids = re.findall(r' id="([^"]+)"', " ".join(reached))
    assert len(set(ids)) == len(reached)


def test_guests_of_a_selection_say_so_and_lead_to_a_command(
    browser: Client, generated: Testbed
):
    command = f'href="{PAGE}?on=%40bridge%3Alan#command-bar"'
    before = shown(browser, f"{GUESTS}?on=@bridge:lan")
    Testbed.objects.update(condition="up")

    page = shown(browser, f"{GUESTS}?on=@bridge:lan")

    assert (command in before, command in page) == (False, True)
    assert listed(page) == {"web"}
    assert "selected by @bridge:lan" in visible(page)
    assert listed(shown(browser, GUESTS)) == {"web", "db"}


@pytest.mark.parametrize("on", ["@bridge:none", "other", "web[1-", "<b>"])
def test_selection_without_guests_is_explained(
    browser: Client, generated: Testbed, on: str
):
    answer = browser.get(GUESTS, {"on": on})

    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'role="alert"' in page
    assert "<table" not in page
    assert f"<code>{html.escape(on)}</code>" in page


def test_pages_keep_the_selection(browser: Client, testbed: Testbed):
    many_guests(testbed, 60)

    page = shown(browser, f"{GUESTS}?on=g[5-59]")

    assert '?on=g%5B5-59%5D&amp;page=2"' in page
    assert len(listed(shown(browser, f"{GUESTS}?on=g[5-59]&page=2"))) == 5


def test_draft_has_no_links(browser: Client, testbed: Testbed):
    assert links_of(diagram_of(shown(browser))) == {}


def test_host_folds_by_a_link_and_stays_folded(browser: Client, generated: Testbed):
    host = generated.project.read_state().guest("web").host
    fold = links_of(diagram_of(shown(browser)))[f"Fold host {host}"]

    folded = shown(browser, f"{PAGE}{fold}")

    svg = diagram_of(folded)
    assert ">web</text>" not in svg
    assert f"Unfold host {host}" in links_of(svg)
    assert f'hx-get="{PAGE}live/?fold={host}"' in folded
    live = shown(browser, f"{PAGE}live/?fold={host}")
    assert diagram_of(live) == svg


def test_address_with_nonsense_folds_nothing(browser: Client, generated: Testbed):
    page = shown(browser, f'{PAGE}?fold="><script>')

    assert ">web</text>" in diagram_of(page)
    assert f'hx-get="{PAGE}live/?fold="' in page


@pytest.mark.parametrize(
    ("status", "percent", "is_shown"),
    [("running", 42.4, True), ("running", 0.0, False), ("shut off", 42.4, False)],
)
def test_load_is_shown_of_guests_that_run_and_were_looked_at_twice(
    browser: Client, generated: Testbed, status: str, percent: float, is_shown: bool
):
    ObservedGuest.objects.create(
        testbed=generated,
        name="web",
        host="main",
        status=status,
        cpu_percent=percent,
        observed_at=timezone.now(),
    )

    svg = diagram_of(shown(browser))

    assert ("about 40 %" in svg) == is_shown
    assert svg.count("vCPU in use about") == (2 if is_shown else 0)


def carrying(testbed: Testbed, *, over_s: float = 5.0, **row: object) -> ObservedGuest:
    """Let a look have seen traffic at the first interface of web."""
    tap = testbed.project.read_state().guest("web").interfaces[0].tap
    way = {"bytes": 9, "packets": 9, "dropped": 0}
    rate = {"received": 2e6, "sent": 3000.0, "over_s": over_s}
    interfaces = {tap: {"index": 7, "received": way, "sent": way, "rate": rate}}
    known = {"host": "main", "status": "running", "observed_at": timezone.now()}
    return ObservedGuest.objects.create(
        testbed=testbed, name="web", interfaces=interfaces, **known | row
    )


def test_traffic_is_a_width_a_number_and_words(browser: Client, generated: Testbed):
    row = carrying(generated)

    svg = diagram_of(shown(browser))

    words = "on lan received 1.9 MiB/s, sent 2.9 KiB/s"
    assert [name for name in links_of(svg) if words in name] == [
        name for name in links_of(svg) if name.startswith("web: ")
    ]
    assert svg.count(words) == 2  # the title, too
    assert 'class="net__flow net__flow--2 net-' in svg
    assert ">↓1.9 MiB/s<" in svg
    assert ">↑2.9 KiB/s<" in svg
    until = timezone.localtime(row.observed_at)
    since = until - timedelta(seconds=5)
    assert f">{since:%-d %b %H:%M:%S} to {until:%H:%M:%S}<" in svg


@pytest.mark.parametrize(
    ("row", "over_s"),
    [
        ({"status": "shut off"}, 5.0),
        ({"observed_at": timezone.now() - timedelta(minutes=5)}, 5.0),
        ({}, 300.0),
    ],
)
def test_traffic_of_old_looks_and_of_guests_that_are_off_is_unknown(
    browser: Client, generated: Testbed, row: dict[str, object], over_s: float
):
    carrying(generated, over_s=over_s, **row)

    svg = diagram_of(shown(browser))

    assert "MiB/s" not in svg
    assert "net__flow" not in svg
    assert "net__legend" not in svg


def test_quiet_picture_stays_the_same_from_look_to_look(
    browser: Client, generated: Testbed
):
    row = carrying(generated)
    pages = []
    for received, sent in ((0.0, 9.0), (700.0, 0.0)):
        for counts in row.interfaces.values():
            counts["rate"] |= {"received": received, "sent": sent}
        row.observed_at = timezone.now()
        row.save()
        pages.append(diagram_of(shown(browser)))

    assert "under 1 KiB/s each way" in pages[0]
    assert pages[0] == pages[1]
