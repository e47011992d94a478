"""Tools: listed while they run, beside other commands, and ended by Down."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.captures import Capture
from orchestration.plan.execution import Conditions, Execution, Form
from testbed.models import Run, Testbed
from tests.testbed.answer_rows import end, execution
from tests.testbed.reading import squeezed, visible

LAB, EXEC, RUNS = (
    "/testbeds/olive/lab/",
    "/testbeds/olive/lab/exec/",
    "/testbeds/olive/lab/runs/",
)
MONITOR = Execution(
    Form.SHELL, "web", ("vmstat 1",), tool=True, conditions=Conditions(timeout_s=0)
)
START = {"selection": "web", "form": "shell", "line": "vmstat 1", "tool": "on"}
JSON = {"Accept": "application/json"}


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def tool(deployed: Testbed, owner: User) -> Run:
    return execution(deployed, owner, ("web",), MONITOR)


def test_tool_has_no_time_limit_unless_one_is_set(browser: Client):
    browser.post(EXEC, START)
    browser.post(EXEC, START | {"timeout_s": "60"})
    browser.post(EXEC, START | {"tool": ""})

    found = [run.options["conditions"] for run in Run.objects.order_by("pk")]
    assert [conditions["timeout_s"] for conditions in found] == [0, 60, 3600]
    assert Run.objects.tools().count() == 2


def test_running_tools_are_listed_with_a_way_to_stop_them(browser: Client, tool: Run):
    page = browser.get(LAB).content.decode()
    end(tool)
    after = browser.get(LAB).content.decode()

    panel = squeezed(page).partition('id="tools"')[2].partition("</section>")[0]
    assert "vmstat 1" in panel
    assert "olive" in panel
    assert f'action="/runs/{tool.pk}/cancel/"' in panel
    assert f'action="/runs/{tool.pk}/cancel/"' not in after


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (MONITOR, "Tool"),
        (Execution(Form.COMMAND, "web", ("id",)), "Command"),
        (Execution(Form.PUSH, "web", path="a", target="/a"), "Push"),
        (Execution(Form.FETCH, "web", path="/a"), "Fetch"),
        (
            Execution(Form.CAPTURE, "web", tool=True, capture=Capture("web")),
            "Packet capture",
        ),
    ],
)
def test_pages_name_an_execution_by_its_kind(
    browser: Client, deployed: Testbed, owner: User, wanted: Execution, name: str
):
    run = execution(deployed, owner, ("web",), wanted)
    Run.objects.update(driver=Run.Driver.SERVER, status=Run.Status.RUNNING)

    page = browser.get(f"/runs/{run.pk}/").content.decode()
    busy = browser.post(RUNS, {"command": "up"}, headers=JSON).json()["error"]
    end(run)
    listed = browser.get(f"{RUNS}?kind=exec").content.decode()
    title = squeezed(page).partition("<title>")[2].partition("</title>")[0]

    assert f"{name} #{run.pk}" in title
    assert f"{name} #{run.pk}" in visible(page)
    assert f"{name} #{run.pk}" in visible(listed)
    assert busy.startswith(f"olive has been running a {name.lower()} on testbed lab")
    assert busy.endswith(f" as run {run.pk}.")


def test_list_of_runs_reads_no_options_row_by_row(
    browser: Client, deployed: Testbed, owner: User, django_assert_max_num_queries
):
    for _ in range(30):
        end(execution(deployed, owner, ("web",), MONITOR))

    with django_assert_max_num_queries(15):
        page = browser.get(RUNS)

    assert b"Tool" in page.content


def test_other_commands_run_beside_a_tool(browser: Client, tool: Run):
    answer = browser.post(EXEC, {"selection": "db", "form": "shell", "line": "id"})

    assert answer.status_code == 302
    assert Run.objects.active().count() == 2


def test_up_does_not_begin_beside_a_tool(browser: Client, tool: Run):
    answer = browser.post(RUNS, {"command": "up"}, headers=JSON)

    assert answer.status_code == 409


def test_down_asks_before_it_ends_tools(browser: Client, tool: Run):
    page = browser.get(LAB).content.decode()
    asked = browser.post(RUNS, {"command": "down"})
    digest = str(tool.pk)
    done = browser.post(RUNS, {"command": "down", "end_tools": digest})

    tool.refresh_from_db()
    assert "End 1 tool of lab?" in visible(asked.content.decode())
    assert 'id="do-down" name="command" value="down" disabled' not in squeezed(page)
    assert done.status_code == 302
    assert tool.cancel_requested_at
    assert Run.objects.get(command="down").is_exclusive


def test_tool_that_began_since_the_question_is_asked_about(
    browser: Client, deployed: Testbed, owner: User, tool: Run
):
    execution(deployed, owner, ("web",), MONITOR)

    answer = browser.post(RUNS, {"command": "down", "end_tools": str(tool.pk)})

    assert "End 2 tools of lab?" in visible(answer.content.decode())
    assert not Run.objects.filter(command="down").exists()


def test_program_ends_tools_without_a_question(browser: Client, tool: Run):
    answer = browser.post(RUNS, {"command": "down"}, headers=JSON)

    tool.refresh_from_db()
    assert answer.status_code == 200
    assert tool.cancel_requested_at


def test_down_waits_for_a_command_that_is_no_tool(
    browser: Client, deployed: Testbed, owner: User, tool: Run
):
    execution(deployed, owner, ("web",))

    answer = browser.post(RUNS, {"command": "down"}, headers=JSON)

    tool.refresh_from_db()
    assert answer.status_code == 409
    assert tool.cancel_requested_at is None


def test_user_runs_a_limited_number_of_tools(browser: Client, settings, tool: Run):
    settings.USER_TOOLS = 1

    answer = browser.post(EXEC, START)

    assert answer.status_code == 422
    assert "You run 1 tool; no more may run at once." in visible(
        answer.content.decode()
    )
    assert Run.objects.get() == tool


def test_tools_leave_half_of_the_workers_to_others(
    browser: Client, settings, tool: Run
):
    settings.CELERY_WORKER_CONCURRENCY = 3

    answer = browser.post(EXEC, START, headers=JSON)

    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Half of the workers are busy with tools")


def test_copy_of_files_is_no_tool(browser: Client):
    body = {"form": "fetch", "selection": "web", "path": "/x", "tool": True}

    answer = browser.post(EXEC, body, content_type="application/json")

    assert answer.json()["error"] == "A copy of files ends by itself: it is no tool."
