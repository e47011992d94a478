"""Names of guests lead to their pages; names of hosts, images and networks do not."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.plan.model import Command, Kind, guest_of
from testbed.models import Event, Run, Task, Testbed
from testbed.runs.creation import create_run
from testbed.websocket.follower import View, read_page
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.conftest import YAML
from tests.testbed.event_rows import say
from tests.testbed.reading import squeezed, visible

PAGE = "/testbeds/olive/lab/guests/web/"


@pytest.fixture
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def up(deployed: Testbed, owner: User) -> Run:
    """A run of Up that is on."""
    return create_run(deployed, owner, Command.UP)


def shown(client: Client, page: str) -> str:
    answer = client.get(page)
    assert answer.status_code == 200
    return squeezed(answer.content.decode())


def say_in(run: Run, kind: Kind, resource: str) -> None:
    """Write a line of a task of this kind to the run's log."""
    say(run, [f"{resource} works"], resource)
    index = run.instructions.get(kind=kind).index
    run.events.filter(seq=run.last_seq).update(index=index)


@pytest.mark.parametrize(
    ("kind", "name", "guest"),
    [
        (Kind.START_GUESTS, "web", "web"),
        (Kind.STOP_GUESTS, "web on host-b", "web"),
        (Kind.CHECK_HOSTS, "web", ""),
        (Kind.PREPARE_GOLDENS, "web", ""),
        (Kind.RUN_ON_HOST, "web", ""),
        ("unheard-of", "web", ""),
    ],
)
def test_kind_of_work_tells_a_guest_from_another_thing(
    kind: str, name: str, guest: str
):
    assert guest_of(kind, name) == guest


def test_card_of_a_guest_has_a_link_and_that_of_a_host_none(browser: Client, up: Run):
    page = shown(browser, f"/runs/{up.pk}/")

    start = Task.objects.get(instruction__kind="start-guests", resource="web")
    check = Task.objects.get(instruction__kind="check-hosts", resource="main")
    card = page.partition(f'id="task-{start.pk}"')[2].partition("</li>")[0]
    assert f'href="{PAGE}" aria-label="Page of web"' in card
    assert "data-filter" in card, "its head shows its log as before"
    card = page.partition(f'id="task-{check.pk}"')[2].partition("</li>")[0]
    assert "/guests/" not in card


def test_stage_alone_has_the_same_links(browser: Client, up: Run):
    stage = shown(browser, f"/runs/{up.pk}/stage/?name=Start guests")

    assert f'href="{PAGE}"' in stage


def test_failed_guest_is_a_link_in_the_outcome(browser: Client, up: Run):
    failed = ("start-guests", "check-hosts")
    tasks = Task.objects.filter(instruction__run=up, instruction__kind__in=failed)
    tasks.update(status="failed", message="No.")
    end(up, "failed")

    page = shown(browser, f"/runs/{up.pk}/")

    outcome = page.partition('id="run-outcome"')[2].partition("</ul>")[0]
    assert f'<b><a href="{PAGE}">web</a></b>' in outcome
    assert "<b>main</b>" in outcome


def test_log_lines_of_guests_are_links(browser: Client, up: Run):
    say_in(up, Kind.START_GUESTS, "web")
    say_in(up, Kind.CHECK_HOSTS, "main")

    log = shown(browser, f"/runs/{up.pk}/log/")

    assert f'<a href="{PAGE}" tabindex="-1">web</a>' in log
    assert '<span class="line__who" title="main">main</span>' in log


def test_log_lines_cost_one_query_for_all_links(browser: Client, up: Run):
    say_in(up, Kind.START_GUESTS, "web")
    with CaptureQueriesContext(connection) as few:
        shown(browser, f"/runs/{up.pk}/log/")
    for _ in range(20):
        say_in(up, Kind.START_GUESTS, "web")
    with CaptureQueriesContext(connection) as many:
        shown(browser, f"/runs/{up.pk}/log/")

    assert len(many) == len(few)


def test_line_that_arrives_later_is_a_link_too(browser: Client, up: Run):
    say_in(up, Kind.START_GUESTS, "web")

    page = read_page(up.pk, 0, View(has_html=True))

    lines = [frame for frame in page.frames if frame.get("kind") == Event.Kind.LOG]
    assert f'href="{PAGE}"' in str(lines[-1]["html"])


def test_folded_answers_lead_to_their_guests(
    browser: Client, deployed: Testbed, owner: User
):
    names = ("web", *(f"web-{number}" for number in range(9)))
    run = execution(deployed, owner, names)
    for name in names:
        answer(run, name, "Linux")
    end(run)

    page = shown(browser, f"/runs/{run.pk}/")

    block = page.partition('class="answer__links')[2].partition("</p>")[0]
    assert block.count('href="/testbeds/olive/lab/guests/web') == 8
    assert "and 2 more" in visible(block)


def test_guest_that_is_missing_is_a_link_in_the_notice(
    browser: Client, up: Run, deployed: Testbed
):
    end(up)
    Testbed.objects.update(
        condition=Testbed.Condition.PARTIAL,
        observed_at=timezone.now() + timedelta(seconds=1),
    )

    page = shown(browser, "/testbeds/olive/lab/")

    drift = page.partition('id="drift"')[2].partition("</div>")[0]
    assert f'<a href="{PAGE}">web</a>' in drift
    assert "guest web is gone on main; guest db is gone on host-b." in visible(drift)


def test_changes_link_the_guests_that_are_there(browser: Client, deployed: Testbed):
    more = YAML.replace("cpus: 1", "cpus: 2", 1).replace(
        "machines:\n",
        "machines:\n  - {name: new, interfaces: [{bridge: lan}],"
        " libvirt: {cpus: 1, memory_mb: 256,"
        " libvirt_type: {cloud_image: {name: ubuntu_22_04}}}}\n",
    )
    deployed.project.yaml.write_text(more)

    page = shown(browser, "/testbeds/olive/lab/")

    changes = page.partition('id="changes"')[2].partition("</section>")[0]
    assert f'<b><a href="{PAGE}">web</a></b>' in changes
    assert "<b>new</b>" in changes
