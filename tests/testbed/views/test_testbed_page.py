"""The page of a testbed: its guests as planned and as observed, and what is amiss.

An edited, wrong or unreadable testbed still has a page that says so.
"""

import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.compose.reading.text import SIZE_LIMIT_BYTES
from orchestration.plan.model import Command, Options
from testbed.models import ObservedGuest, Run, Testbed
from testbed.views.testbeds import MOST_LINES
from tests.live.chaos.shown import shown_to
from tests.testbed.conftest import YAML
from tests.testbed.preparing import prepare
from tests.testbed.reading import squeezed, visible

BROKEN = "machines:\n  - name: web\n    libvirt: {cpus: two, memory_mb: 1}\n"


def test_page_says_what_is_not_generated(browser: Client, testbed: Testbed):
    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert "This testbed is a draft." in page
    assert "A draft has nothing to stop" in page


def test_title_says_the_condition(browser: Client, testbed: Testbed):
    Testbed.objects.update(condition="partial")

    page = squeezed(browser.get("/testbeds/olive/lab/").content.decode())

    assert "<title>lab: partial · Testbeds</title>" in page
    assert 'data-title="lab: partial · Testbeds"' in page


@pytest.mark.parametrize(
    ("yaml", "is_primary"),
    [
        (YAML, True),
        (BROKEN, False),
        ("machines: [{name: box, docker: {image: nginx}}]\nnetwork: {}\n", False),
    ],
)
def test_up_is_the_primary_button_only_where_it_is_not_known_to_refuse(
    browser: Client, testbed: Testbed, yaml: str, is_primary: bool
):
    testbed.project.yaml.write_text(yaml)

    page = squeezed(browser.get("/testbeds/olive/lab/").content.decode())

    (button,) = re.findall(r'<button [^>]*id="do-up"[^>]*>', page)
    assert ("button--primary" in button) == is_primary


def test_page_shows_guests_as_planned_and_as_observed(
    browser: Client, generated: Testbed
):
    ObservedGuest.objects.create(
        testbed=generated,
        name="web",
        host="main",
        status="crashed",
        observed_at=timezone.now(),
    )

    page = browser.get("/testbeds/olive/lab/").content.decode()

    state = generated.project.read_state()
    assert state.guest("web").interfaces[0].address in page
    assert "crashed" in page
    assert "unknown" in page
    assert "0 of 2 guests up" in page
    assert '<svg class="net' in page


def test_edited_yaml_is_said(browser: Client, generated: Testbed):
    before = browser.get("/testbeds/olive/lab/").content.decode()
    generated.project.yaml.write_text(YAML + "\n# more\n")

    after = browser.get("/testbeds/olive/lab/").content.decode()

    assert "The YAML was edited" not in before
    assert "The YAML was edited since this was generated." in after
    assert "not deployed yet" not in before
    assert "not deployed yet" in after


def test_findings_are_shown_with_their_lines(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_text(BROKEN)

    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert '<a href="#L3">line 3</a>' in page
    assert 'id="L3" class="code--error"' in page
    assert "Up will refuse it" in page


def test_broken_state_is_said_and_the_page_still_works(
    browser: Client, testbed: Testbed
):
    testbed.project.state_file.write_text("{")

    answer = browser.get("/testbeds/olive/lab/")

    assert answer.status_code == 200
    assert "state.json of this testbed cannot be read" in answer.content.decode()


def test_buttons_are_off_while_a_run_is_on(
    browser: Client, generated: Testbed, owner: User
):
    run = Run.objects.create(testbed=generated, command="up", plan={}, asked_by=owner)

    page = browser.get("/testbeds/olive/lab/").content.decode()

    assert page.count('disabled aria-describedby="busy"') == 4
    assert f'<a href="/runs/{run.pk}/">watch it</a>' in page


def test_long_list_of_guests_is_paged(browser: Client, testbed: Testbed):
    machines = "".join(
        f"  - name: g{number}\n    interfaces: [{{bridge: lan}}]\n"
        "    libvirt: {cpus: 1, memory_mb: 64, "
        "libvirt_type: {cloud_image: {name: ubuntu_22_04}}}\n"
        for number in range(60)
    )
    network = "network: {bridges: [{name: lan}], external_bridge: lan}\n"
    testbed.project.yaml.write_text(f"machines:\n{machines}{network}")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    first = browser.get("/testbeds/olive/lab/").content.decode()
    second = browser.get("/testbeds/olive/lab/guests/?page=2").content.decode()

    assert ('id="guest-g49"' in first, 'id="guest-g50"' in first) == (True, False)
    assert 'id="guest-g50"' in second
    assert "51\N{EN DASH}60 of 60" in second


def test_cells_of_a_guest_say_what_they_are_on_a_narrow_screen(
    browser: Client, generated: Testbed
):
    page = browser.get("/testbeds/olive/lab/").content.decode()

    labels = re.findall(r'<td data-label="(\w+)"', page.split("</tr>")[1])
    assert '<table class="table table--cells">' in page
    assert labels == ["Host", "Addresses", "Management", "Image", "Size", "Setup"]


def test_script_of_a_guest_that_was_never_started_waits_for_nothing(
    browser: Client, testbed: Testbed
):
    testbed.project.yaml.write_text(
        YAML.replace("{name: ubuntu_22_04}", "{name: ubuntu_22_04, setup_script: a.sh}")
    )
    (testbed.project.files / "a.sh").write_text("#!/bin/sh\n")
    prepare(testbed, Command.GENERATE_ARTEFACTS, Options())

    page = browser.get("/testbeds/olive/lab/").content.decode()

    setup = page.split('<td data-label="Setup">')[1].split("</td>")[0]
    assert "not run yet" in setup
    assert "waiting" not in setup


def test_disks_are_deleted_only_after_a_question_that_names_them(
    browser: Client, generated: Testbed
):
    for name in ("web", "db"):
        generated.project.mark(name, disk="ubuntu_22_04 of today")
    page = browser.get("/testbeds/olive/lab/").content.decode()

    question = browser.get("/testbeds/olive/lab/disks/delete/").content.decode()

    assert 'value="clear-artefacts"' not in page
    assert 'href="/testbeds/olive/lab/disks/delete/"' in page
    assert "web on main size not seen db on host-b size not seen" in visible(question)
    assert "Type lab to confirm" in visible(question)
    assert 'value="clear-artefacts"' in question
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("seconds", "shown", "hidden"),
    [
        (-2, "updated just now, before Down ended", "1 of 2 guests up"),
        (2, "1 of 2 guests up", "before Down ended"),
    ],
)
def test_guests_are_counted_only_by_a_look_after_the_last_run(
    browser: Client,
    generated: Testbed,
    owner: User,
    seconds: int,
    shown: str,
    hidden: str,
):
    ended_at = timezone.now()
    Run.objects.create(
        testbed=generated,
        command="down",
        plan={},
        asked_by=owner,
        status=Run.Status.SUCCEEDED,
        ended_at=ended_at,
    )
    generated.observed_at = ended_at + timedelta(seconds=seconds)
    generated.save()
    generated.observed_guests.create(
        name="web", host="main", status="running", observed_at=generated.observed_at
    )

    page = visible(browser.get("/testbeds/olive/lab/").content.decode())

    assert shown in page
    assert hidden not in page


def test_chaos_test_reads_the_guests_of_the_page(browser: Client, generated: Testbed):
    """It runs at night alone, and a page that it cannot read makes each act red."""
    now = timezone.now()
    Testbed.objects.update(condition=Testbed.Condition.PARTIAL, observed_at=now)
    seen = {"testbed": generated, "host": "main", "observed_at": now}
    ObservedGuest.objects.create(name="web", status="paused", **seen)
    pages = SimpleNamespace(read=lambda path: browser.get(path).content.decode())

    shown = shown_to(SimpleNamespace(pages=pages), "lab")

    assert shown.guests["web"] == ("paused", "main")


def test_page_shows_the_first_lines_of_a_huge_yaml(browser: Client, testbed: Testbed):
    testbed.project.yaml.write_bytes(b"\n" * (4 * SIZE_LIMIT_BYTES))

    answer = browser.get("/testbeds/olive/lab/")

    assert len(answer.context["yaml_lines"]) == MOST_LINES
    page = answer.content.decode()
    assert f"The first {MOST_LINES} lines of the file." in page
    assert "The file is larger than 1024 KiB." in page
