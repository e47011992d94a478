"""The page of one guest: what is known, when it was seen, and what can be done."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.plan.model import Command, Options
from testbed.models import Host, ObservedGuest, Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from tests.testbed.answer_rows import execution
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.reading import squeezed, visible
from tests.testbed.views.guests.checks import checked

PAGE = "/testbeds/olive/lab/guests/web/"
JSON = {"Accept": "application/json"}
HOSTILE = "<script>alert(1)</script>\x1b]0;title\x07\u202e end"


@pytest.fixture
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.observed_at = timezone.now()
    generated.save()
    return generated


@pytest.fixture
def seen(deployed: Testbed) -> ObservedGuest:
    """Guest web, which was last seen running."""
    return deployed.observed_guests.create(
        name="web",
        host="main",
        status="running",
        observed_at=timezone.now(),
        observed_since=timezone.now() - timedelta(hours=3),
    )


def shown(client: Client, page: str = PAGE) -> str:
    answer = client.get(page)
    assert answer.status_code == 200
    return squeezed(answer.content.decode())


def test_page_says_since_when_the_guest_runs(browser: Client, seen: ObservedGuest):
    page = shown(browser)

    since = timezone.localtime(seen.observed_since)
    assert "running" in visible(page)
    assert f'title="{since:%-d %b %Y %H:%M:%S}"' in page
    assert "updated just now" in visible(page)


def test_page_has_the_plan_of_the_guest(browser: Client, deployed: Testbed):
    guest = deployed.project.read_state().guest("web")

    text = visible(shown(browser))

    for fact in (
        guest.domain,
        guest.disk,
        guest.image.name,
        guest.interfaces[0].mac,
        guest.interfaces[0].tap,
        guest.interfaces[0].address,
        guest.management.address,
        "256 MiB",
    ):
        assert str(fact) in text


@pytest.mark.parametrize("name", ["nothing", "lan", "main", "web,db"])
def test_unknown_guest_is_not_found(browser: Client, deployed: Testbed, name: str):
    assert browser.get(f"/testbeds/olive/lab/guests/{name}/").status_code == 404


def test_stranger_finds_nothing(client: Client, stranger: User, deployed: Testbed):
    client.force_login(stranger)

    assert client.get(PAGE).status_code == 404
    assert client.get(PAGE, headers=JSON).status_code == 404


def test_draft_has_no_guests_yet(browser: Client, testbed: Testbed):
    assert browser.get(PAGE).status_code == 404


def test_host_leads_to_its_page(browser: Client, seen: ObservedGuest):
    assert 'href="/hosts/main/"' in shown(browser)


def test_guest_that_was_never_up_is_shown_as_planned(
    browser: Client, generated: Testbed
):
    page = shown(browser)

    assert "its host was not read since" in visible(page)
    assert 'id="check"' not in page
    assert 'id="power-pause"' not in page


def test_guest_that_is_gone_says_when_its_host_was_read(
    browser: Client, deployed: Testbed
):
    text = visible(shown(browser))

    assert "not defined on its host, updated just now" in text


def test_dead_host_is_named_with_its_problem(browser: Client, seen: ObservedGuest):
    past = timezone.now() - timedelta(hours=2)
    ObservedGuest.objects.update(observed_at=past)
    Host.objects.filter(name="main").update(problem="Host main does not answer.")

    text = visible(shown(browser))

    assert "main is offline, so the guest may differ" in text
    assert "Host main does not answer." in text
    assert "last updated 2 h ago" in text


def test_host_that_was_removed_is_no_error(browser: Client, seen: ObservedGuest):
    Host.objects.filter(name="main").delete()

    assert "no longer belongs to this installation" in visible(shown(browser))


def test_edit_is_said(browser: Client, deployed: Testbed):
    deployed.project.yaml.write_text(YAML.replace("cpus: 1", "cpus: 2"))

    assert "The testbed was edited" in visible(shown(browser))


def test_guest_that_an_edit_removed_is_known_until_it_is_gone(
    browser: Client, deployed: Testbed
):
    before = deployed.project.read_state()
    wanted = before.model_copy(update={"guests": before.guests[1:]})
    deployed.project.write_change(before, wanted)

    page = shown(browser)

    assert "An edit of kvm-compose.yaml removed this guest" in visible(page)
    assert f"{PAGE}console/" not in page
    assert 'id="check"' not in page
    deployed.project.forget_deployed()
    assert browser.get(PAGE).status_code == 404


def test_check_gives_the_addresses_in_the_guest(
    browser: Client, deployed: Testbed, owner: User
):
    name = deployed.project.read_state().guest("web").interfaces[0].name
    run = checked(deployed, owner, addresses={name: ["10.9.9.9", "fe80::1"]})

    page = shown(browser)

    text = visible(page)
    assert "10.9.9.9" in text
    assert "fe80::1" in text
    assert "not as wanted" in text
    assert "Guest web on main can be reached." in text
    assert f'href="/runs/{run.pk}/"' in page


def test_interfaces_show_what_they_carried_and_when_it_was_read(
    browser: Client, seen: ObservedGuest
):
    tap = seen.testbed.project.read_state().guest("web").interfaces[0].tap
    counts = {
        "received": {"bytes": 3 * 1024 * 1024, "packets": 4711, "dropped": 0},
        "sent": {"bytes": 100, "packets": 1, "dropped": 7},
    }
    ObservedGuest.objects.update(interfaces={tap: counts})

    text = visible(shown(browser))
    shape = browser.get(PAGE, headers=JSON).json()

    assert "counted since its start, updated just now" in text
    assert "3.0 MiB 4711 packets" in text
    assert "100 B 1 packet 7 dropped" in text
    assert text.count("dropped") == 1
    first, other = shape["interfaces"]
    assert {"received": first["received"], "sent": first["sent"]} == counts
    assert other["received"] is None


@pytest.mark.parametrize(
    ("age_s", "status"), [(0, "running"), (300, "running"), (0, "paused")]
)
def test_rate_of_an_interface_is_shown_while_it_is_new(
    browser: Client, seen: ObservedGuest, age_s: int, status: str
):
    tap = seen.testbed.project.read_state().guest("web").interfaces[0].tap
    way = {"bytes": 9_000_000, "packets": 1, "dropped": 0}
    rate = {"received": 2e6, "sent": 120.0, "over_s": 5.0}
    ObservedGuest.objects.update(
        interfaces={tap: {"index": 7, "received": way, "sent": way, "rate": rate}},
        observed_at=timezone.now() - timedelta(seconds=age_s),
        status=status,
    )
    is_shown = (age_s, status) == (0, "running")

    text = visible(shown(browser))
    first, other = browser.get(PAGE, headers=JSON).json()["interfaces"]

    for words in ("1.9 MiB/s", "120 B/s", "; per second in the 5.0 s before"):
        assert (words in text) == is_shown, words
    found = first["rate"] and {name: first["rate"][name] for name in rate}
    assert found == (rate if is_shown else None)
    assert other["rate"] is None


def test_guest_whose_interfaces_nobody_counted_says_nothing_of_them(
    browser: Client, seen: ObservedGuest
):
    assert "counted since" not in visible(shown(browser))


def test_facts_stay_when_a_later_check_has_none(
    browser: Client, deployed: Testbed, owner: User
):
    checked(deployed, owner, console="testbed guest ready")
    checked(deployed, owner, status="failed", message="Host main does not answer.")

    text = visible(shown(browser))

    assert "Host main does not answer." in text
    assert "testbed guest ready" in text


def test_words_of_a_hostile_guest_are_escaped(
    browser: Client, deployed: Testbed, owner: User
):
    name = deployed.project.read_state().guest("web").interfaces[0].name
    checked(
        deployed,
        owner,
        status="failed",
        message=HOSTILE,
        console=HOSTILE,
        layer=HOSTILE,
        addresses={name: [HOSTILE]},
    )

    page = shown(browser)

    assert "<script>alert" not in page
    console = page.partition('id="console"')[2].partition("</pre>")[0]
    assert "&lt;script&gt;" in console
    assert "\x1b" not in console
    assert "U+202E" in console


def test_scripts_have_their_state_and_the_log_that_ran_them(
    browser: Client, testbed: Testbed, owner: User, doors: object
):
    testbed.project.file("setup.sh").write_text("#!/bin/sh\n")
    scripted = YAML.replace("22_04}", "22_04, setup_script: setup.sh}", 1)
    testbed.project.yaml.write_text(scripted)
    up = create_run(testbed, owner, Command.UP)
    tasks = Task.objects.filter(instruction__run=up, resource="web")
    said = "setup.sh in guest web on main ended with exit code 3."
    set_up = tasks.filter(instruction__kind="set-up-guests")
    set_up.update(status="failed", message=said)
    digest = testbed.project.read_state().guest("web").setup_script.sha256
    testbed.project.mark("web", script=digest, script_exit_code=3)
    finish_run(up.pk, Run.Status.FAILED)

    page = shown(browser)

    assert "setup.sh failed exit code 3" in re.sub(r"\s+", " ", visible(page))
    assert f'href="/runs/{up.pk}/?resource=web#log"' in page


def test_runs_are_those_that_worked_on_the_guest(
    browser: Client, deployed: Testbed, owner: User
):
    mine = execution(deployed, owner, ("web",))
    other = execution(deployed, owner, ("db",))
    for number in range(20):
        last = execution(deployed, owner, ("web", f"x{number}"))

    page = shown(browser)

    assert page.count("row-run-") == 10
    assert f'id="row-run-{last.pk}"' in page
    assert f'id="row-run-{mine.pk}"' not in page
    assert f'id="row-run-{other.pk}"' not in page


def test_clones_of_one_image_are_linked(browser: Client, deployed: Testbed):
    state = deployed.project.read_state()
    web = state.guest("web").model_copy(update={"golden": "base"})
    others = tuple(web.model_copy(update={"name": f"web-{n}"}) for n in range(20))
    deployed.project.write_state(state.model_copy(update={"guests": (web, *others)}))

    page = shown(browser)

    assert page.count('<a href="/testbeds/olive/lab/guests/web-') == 12
    assert "and 8 more" in visible(page)


def test_buttons_act_on_this_guest_alone(browser: Client, seen: ObservedGuest):
    page = shown(browser)

    form = page.partition('id="power-form"')[2].partition("</form>")[0]
    button = page.partition('id="power-shut-down"')[2].partition(">")[0]
    assert 'name="selection" value="web"' in form
    assert 'form="power-form"' in button
    assert 'formaction="/testbeds/olive/lab/power/"' in button
    assert "disabled" not in button
    browser.post("/testbeds/olive/lab/power/", {"selection": "web", "verb": "pause"})
    assert Run.objects.get().options["selection"] == "web"


def test_buttons_wait_for_another_run(browser: Client, deployed: Testbed, owner: User):
    run = create_run(deployed, owner, Command.UP)
    Testbed.objects.update(condition=Testbed.Condition.UP)

    page = shown(browser)

    for button in ("check", "power-pause"):
        start = page.partition(f'id="{button}"')[2].partition(">")[0]
        assert 'disabled aria-describedby="busy"' in start
    assert f'href="/runs/{run.pk}/"' in page


def test_command_bar_opens_with_the_guest(browser: Client, deployed: Testbed):
    link = "/testbeds/olive/lab/?on=web#command-bar"
    assert f'href="{link}"' in shown(browser)

    bar = shown(browser, link).partition('id="command-selection"')[2].partition(">")[0]

    assert 'value="web"' in bar


def test_console_and_shell_are_a_click_away_and_lead_back(
    browser: Client, deployed: Testbed
):
    page = shown(browser)

    for link in (f"{PAGE}console/", f"{PAGE}console/?mode=shell"):
        assert f'href="{link}">' in page
        assert f'<a href="{PAGE}">web</a>' in shown(browser, link)


def test_guests_are_links_in_table_and_diagram(browser: Client, deployed: Testbed):
    page = shown(browser, "/testbeds/olive/lab/")

    svg = page.partition('<svg class="net')[2].partition("</svg>")[0]
    assert f'id="net-guest-web" href="{PAGE}"' in " ".join(svg.split())
    assert f'<a class="table__link" href="{PAGE}">web</a>' in page


def test_log_of_one_guest_leads_to_its_page(
    browser: Client, deployed: Testbed, owner: User
):
    run = create_run(deployed, owner, Command.UP)

    log = f"/runs/{run.pk}/log/?resource="
    assert f'href="{PAGE}"' in shown(browser, f"{log}web")
    assert "/guests/" not in shown(browser, f"{log}main")


def test_poll_gets_the_part_that_changes(browser: Client, seen: ObservedGuest):
    answer = browser.get(PAGE, headers={"HX-Request": "true"})

    text = answer.content.decode().strip()
    assert text.startswith('<div class="stack" id="guest"')


def test_programs_get_json(browser: Client, seen: ObservedGuest, owner: User):
    run = checked(seen.testbed, owner, layer="", addresses={"eth0": ["10.0.0.1"]})

    shape = browser.get(PAGE, headers=JSON).json()

    assert shape["name"] == "web"
    assert shape["status"] == "running"
    assert shape["check"]["run"] == run.pk
    assert shape["runs"] == [run.pk]
    assert {one["name"] for one in shape["interfaces"]} >= {"mgmt0"}
    assert "password" not in str(shape).lower()


def test_state_that_cannot_be_read_is_a_sentence(browser: Client, deployed: Testbed):
    deployed.project.state_file.write_text("{")

    answer = browser.get(PAGE)

    assert answer.status_code == 422


def test_page_asks_as_little_in_a_large_testbed(
    browser: Client, testbed: Testbed, owner: User, doors: object
):
    few = _queries(browser, testbed, owner, guests=2)
    many = _queries(browser, testbed, owner, guests=100)

    assert many == few <= 20


def _queries(browser: Client, testbed: Testbed, owner: User, *, guests: int) -> int:
    """Return the number of queries of a page of a testbed with so many guests."""
    lines = YAML.partition("  - name: db")
    entry = lines[0].partition("machines:\n")[2]
    entries = (entry.replace("web", f"g{n}") for n in range(guests - 1))
    network = "network:" + YAML.partition("network:")[2]
    text = lines[0] + "".join(entries) + network.replace("memory_mb: 256", "")
    testbed.project.yaml.write_text(text.replace("memory_mb: 256", "memory_mb: 64"))
    Testbed.objects.update(condition=Testbed.Condition.EMPTY)
    testbed.refresh_from_db()
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())
    Testbed.objects.update(condition=Testbed.Condition.UP, observed_at=timezone.now())
    ObservedGuest.objects.all().delete()
    now = timezone.now()
    ObservedGuest.objects.bulk_create(
        ObservedGuest(
            testbed=testbed,
            name=guest.name,
            host=guest.host,
            status="running",
            observed_at=now,
            observed_since=now,
        )
        for guest in testbed.project.read_state().guests
    )
    testbed.refresh_from_db()
    checked(testbed, owner, console="ready")
    with CaptureQueriesContext(connection) as queries:
        shown(browser)
    return len(queries)
