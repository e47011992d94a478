"""Runs that are going on, in the list and on the page of activity, and the last ones."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.execution import Targets
from testbed.models import Instruction, Run, Task, Testbed
from testbed.pages.listing.running import MOST_RUNNING, progress_of
from tests.testbed.reading import visible
from tests.testbed.views.listing.conftest import Lab, add, put_run

STAGES = (("Networks", "succeeded"), ("Disks", "running"), ("Boot", "waiting"))


def put_plan(run: Run, *, done: int, tasks: int = 4) -> None:
    """Give a run three instructions, of whose second some tasks are done."""
    for index, (stage, status) in enumerate(STAGES):
        instruction = Instruction.objects.create(
            run=run, index=index, kind="x", stage=stage, title=stage, status=status
        )
        Task.objects.bulk_create(
            Task(
                instruction=instruction,
                resource=f"g{number}",
                host="main",
                status="done" if number < done else "waiting",
            )
            for number in range(tasks)
        )


@pytest.fixture
def running(lab: Lab) -> Run:
    run = Run.objects.get(status="running")
    put_plan(run, done=2)
    return run


def runs_of(page: str) -> list[int]:
    return [
        int(found) for found in re.findall(r'<li class="runs__row" id="run-(\d+)', page)
    ]


def test_row_of_a_run_shows_command_stage_progress_user_and_time(
    browser: Client, running: Run
):
    row = visible(
        re.search(
            r'<tr id="testbed-alpha".*?</tr>', browser.get("/").content.decode(), re.S
        ).group()
    )

    assert re.search(r"Up running by olive, \d+ s 50 % Disks, 2 of 4", row)


def test_progress_counts_instructions_and_the_tasks_of_the_present_one(running: Run):
    found = progress_of([running])[running.pk]

    assert (found.stage, found.over, found.total) == ("Disks", 2, 4)
    assert found.percent == 50


def test_progress_of_a_run_that_waits_or_is_over_is_none(
    lab: Lab, django_assert_num_queries
):
    with django_assert_num_queries(1):
        runs = list(Run.objects.exclude(status="running"))
        assert progress_of(runs) == {}


def test_run_before_its_first_instruction_has_no_progress(lab: Lab):
    run = Run.objects.get(status="running")

    assert progress_of([run])[run.pk].percent == 0


def test_activity_has_what_the_user_sees(
    browser: Client, running: Run, stranger: User, lab: Lab
):
    hidden = put_run(Testbed.objects.get(slug="secret"), stranger, "running")

    page = browser.get("/activity/").content.decode()

    seen = Run.objects.exclude(testbed__slug="secret")
    assert runs_of(page) == [running.pk, seen.get(status="succeeded").pk]
    assert "secret" not in page
    assert str(hidden.pk) not in [str(pk) for pk in runs_of(page)]


def test_count_of_running_runs_leaves_out_those_of_strangers(
    browser: Client, running: Run, stranger: User
):
    put_run(Testbed.objects.get(slug="secret"), stranger, "running")

    assert "1 run going on now" in visible(browser.get("/").content.decode())


def test_activity_of_an_admin_is_the_whole_labs(page: Client, running: Run):
    text = page.get("/activity/").content.decode()

    assert len(runs_of(text)) == 3
    assert "Runs of the whole lab" in visible(text)


def test_command_on_hosts_is_activity_for_admins_alone(
    client: Client, owner: User, admin: User, lab: Lab
):
    run = Run.objects.create(
        testbed=Testbed.objects.get(slug="alpha"),
        command="exec",
        plan={},
        asked_by=admin,
        is_exclusive=False,
        status="running",
        options={"targets": Targets.HOSTS.value},
    )
    seen = {}
    for user in (owner, admin):
        client.force_login(user)
        seen[user.username] = runs_of(client.get("/activity/").content.decode())

    assert run.pk in seen["ada"]
    assert run.pk not in seen["olive"]


def test_activity_is_bounded(browser: Client, owner: User, lab: Lab):
    for number in range(MOST_RUNNING + 2):
        put_run(add(owner, f"many-{number}", 100 + number), owner, "running")

    page = browser.get("/activity/").content.decode()

    assert "and 3 more" in visible(page)


def test_poll_of_activity_gets_its_part_alone(browser: Client, running: Run):
    page = browser.get("/activity/", headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in page
    assert 'id="activity"' in page


def test_new_users_activity_leads_on(client: Client, member: User, lab: Lab):
    client.force_login(member)

    page = visible(client.get("/activity/").content.decode())

    assert "Choose a testbed" in page
    assert "No run has ended yet." in page


@pytest.mark.parametrize("path", ["/", "/activity/"])
@pytest.mark.parametrize("count", [1, 30])
def test_running_rows_take_few_queries(
    browser: Client,
    owner: User,
    lab: Lab,
    django_assert_max_num_queries,
    path: str,
    count: int,
):
    for number in range(count):
        run = put_run(add(owner, f"many-{number}", 100 + number), owner, "running")
        put_plan(run, done=1)

    with django_assert_max_num_queries(14):
        assert browser.get(path).status_code == 200


def test_activity_is_json_for_programs(browser: Client, running: Run):
    found = browser.get("/activity/", headers={"Accept": "application/json"}).json()

    (row,) = [one for one in found["running"] if one["run"] == running.pk]
    assert found["count"] == len(found["running"])
    assert (row["testbed"], row["owner"]) == ("alpha", "olive")
    assert (row["status"], row["stage"], row["percent"]) == ("running", "Disks", 50)
    assert row["ended_at"] is None
    assert all(one["status"] not in Run.ACTIVE for one in found["recent"])
