"""Commands on hosts themselves: for lab admins, and unseen by everybody else."""

import logging
from dataclasses import replace

import pytest
from django.contrib.auth.models import User
from django.test import Client

from orchestration.plan.execution import Execution, Form, Targets
from testbed.models import Run, SavedCommand, Testbed
from tests.testbed.answer_rows import answer, end, execution
from tests.testbed.api.conftest import asker
from tests.testbed.reading import squeezed, visible

LAB, PAGE, MATCH = (
    "/testbeds/olive/lab/",
    "/testbeds/olive/lab/exec/",
    "/testbeds/olive/lab/exec/match/",
)
ON_ALL = {"targets": "hosts", "selection": "@all", "form": "command", "line": "uptime"}
BODY = {"targets": "hosts", "selection": "main", "form": "shell", "words": ["id"]}
WANTED = Execution(Form.COMMAND, "main", ("secret-tool",), targets=Targets.HOSTS)


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.save()
    return generated


@pytest.fixture
def of_admin(deployed: Testbed, admin: User) -> Run:
    """A lab admin's command on main, which is over."""
    run = execution(deployed, admin, ("main",), WANTED)
    answer(run, "main", "an answer of main")
    end(run)
    return run


def test_admin_runs_a_command_on_hosts_and_the_record_names_them(
    page: Client, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        page.post(PAGE, ON_ALL)

    run = Run.objects.get()
    tasks = run.plan["instructions"][0]["resources"]
    assert run.plan["instructions"][0]["kind"] == "run-on-host"
    assert [task["host"] for task in tasks] == ["main", "host-b"]
    said = (
        "act execute_on_hosts by ada (lab admin) on olive's testbed lab: uptime on hosts "
        f"host-b,main, run {run.pk}"
    )
    assert said in caplog.messages


def test_program_of_an_admin_runs_a_command_on_one_host(
    page: Client, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "testbed.access.record"):
        found = page.post(PAGE, BODY, content_type="application/json").json()

    assert found["instructions"][0]["resources"] == ["main"]
    assert f"id on host main, run {found['run']}" in caplog.text


def test_script_that_the_owner_could_exchange_is_not_run_on_hosts(page: Client):
    script = {"form": "script", "words": [], "path": "check.sh"}

    answer = page.post(PAGE, BODY | script, content_type="application/json")

    assert answer.status_code == 422
    assert "its owner could exchange it" in answer.content.decode()
    assert not Run.objects.exists()


def test_owner_who_is_no_admin_is_forbidden(browser: Client, of_admin: Run):
    form = browser.post(PAGE, ON_ALL)
    body = browser.post(PAGE, BODY, content_type="application/json")
    match = browser.get(MATCH, {"targets": "hosts", "selection": "@all"})
    saved = browser.post("/testbeds/olive/lab/commands/", ON_ALL | {"name": "x"})

    statuses = [found.status_code for found in (form, body, match, saved)]
    assert statuses == [403, 403, 403, 403]
    assert Run.objects.get() == of_admin
    assert not SavedCommand.objects.exists()


def test_owner_runs_no_command_of_an_admin_again(browser: Client, of_admin: Run):
    again = browser.post(PAGE, {"again": of_admin.pk})
    filled = browser.get(f"{LAB}?again={of_admin.pk}")

    assert (again.status_code, filled.status_code) == (422, 422)
    assert "secret-tool" not in again.content.decode() + filled.content.decode()


def test_owner_runs_no_command_that_an_admin_saved_for_hosts(page: Client, owner: User):
    page.post("/testbeds/olive/lab/commands/", ON_ALL | {"name": "load"})
    page.force_login(owner)

    listed = page.get("/testbeds/olive/lab/commands/")
    started = page.post(PAGE, {"saved": SavedCommand.objects.get().pk})

    assert "uptime" not in listed.content.decode()
    assert started.status_code == 403


def test_form_offers_hosts_to_admins_only(page: Client, owner: User):
    of_admin = page.get(LAB).content.decode()
    page.force_login(owner)
    of_owner = page.get(LAB).content.decode()

    assert 'name="targets" value="hosts"' in squeezed(of_admin)
    assert "This acts on the hosts themselves" in visible(of_admin)
    assert "main as the workers' account, host-b as root." in visible(of_admin)
    assert "targets" not in of_owner
    assert "hosts themselves" not in of_owner


@pytest.mark.parametrize(
    "address",
    ["", "answers/", "answers/main/", "answers.zip", "difference/", "log.txt", "log/"],
)
def test_owner_sees_nothing_of_a_command_on_hosts(
    browser: Client, admin: User, of_admin: Run, address: str
):
    own = browser.get(f"/runs/{of_admin.pk}/{address}")
    browser.force_login(admin)
    admins = browser.get(f"/runs/{of_admin.pk}/{address}")

    assert (own.status_code, admins.status_code) == (404, 200)


def test_histories_have_commands_on_hosts_for_admins_only(
    browser: Client, deployed: Testbed, owner: User, admin: User, of_admin: Run
):
    end(execution(deployed, owner, ("web",)))
    addresses = (
        LAB,
        "/testbeds/olive/lab/runs/",
        "/testbeds/olive/lab/runs/?kind=exec",
    )

    own = [visible(browser.get(one).content.decode()) for one in addresses]
    browser.force_login(admin)
    admins = [visible(browser.get(one).content.decode()) for one in addresses]

    assert all("secret-tool on hosts main" in text for text in admins)
    assert not any("secret-tool" in text for text in own)
    assert all("uname on @all" in text for text in own)


def test_owner_reads_who_keeps_up_waiting_without_a_way_there(
    browser: Client, deployed: Testbed, admin: User
):
    run = execution(deployed, admin, ("main",), WANTED)

    page = browser.get(LAB).content.decode()

    assert "ada runs Command since" in visible(page)
    assert f"/runs/{run.pk}/" not in page


def test_runs_of_earlier_versions_name_no_targets_and_stay_visible(
    browser: Client, deployed: Testbed, owner: User
):
    run = execution(deployed, owner, ("web",))
    del run.options["targets"]
    run.save()
    end(run)

    assert browser.get(f"/runs/{run.pk}/").status_code == 200


def test_answers_of_hosts_are_counted_as_hosts(page: Client, of_admin: Run):
    text = visible(page.get(f"/runs/{of_admin.pk}/").content.decode())

    assert "1 of 1 host" in text
    assert "guest" not in text.partition("Answers")[2].partition("Log")[0]


def test_matched_hosts_are_shown_before_anything_runs(page: Client):
    shown = page.get(MATCH, {"targets": "hosts", "selection": "@all"})
    wrong = page.get(MATCH, {"targets": "hosts", "selection": "web"})

    assert "2 hosts host-b,main" in visible(shown.content.decode())
    assert "There is no host web in this testbed." in visible(wrong.content.decode())


def test_earlier_command_on_hosts_is_no_earlier_command_in_guests(
    page: Client, deployed: Testbed, admin: User, of_admin: Run
):
    in_guests = replace(WANTED, targets=Targets.GUESTS)
    run = execution(deployed, admin, ("main",), in_guests)
    answer(run, "main", "another answer")
    end(run)

    assert f"#{of_admin.pk}" not in page.get(f"/runs/{run.pk}/").content.decode()


def test_owner_neither_replaces_nor_deletes_what_an_admin_saved_for_hosts(
    page: Client, owner: User
):
    page.post("/testbeds/olive/lab/commands/", ON_ALL | {"name": "load"})
    saved = SavedCommand.objects.get()
    page.force_login(owner)

    guests = ON_ALL | {"name": "load", "targets": "guests", "line": "true"}
    page.post("/testbeds/olive/lab/commands/", guests)
    saved.refresh_from_db()
    is_kept = saved.execution["targets"] == "hosts"
    page.post("/testbeds/olive/lab/commands/delete/", {"command": saved.pk})

    assert (is_kept, SavedCommand.objects.filter(pk=saved.pk).exists()) == (True, True)


def test_token_of_an_admin_without_its_scope_sees_no_command_on_hosts(
    of_admin: Run, admin: User
):
    read, whole = asker(admin, "read"), asker(admin, "admin")
    path = f"/runs/{of_admin.pk}"

    seen = [
        read("GET", path).status_code,
        read("GET", f"{path}/log").status_code,
        read("GET", f"{path}/answers").status_code,
        read("GET", f"{path}/answers/main").status_code,
    ]
    listed = read("GET", "/testbeds/olive/lab/runs").json()["items"]
    recent = read("GET", "/activity").json()["recent"]

    assert seen == [404] * 4
    assert of_admin.pk not in [run["run"] for run in (*listed, *recent)]
    assert b"an answer of main" in whole("GET", f"{path}/answers/main").content


def test_token_without_the_scope_admin_stops_no_command_on_hosts(
    deployed: Testbed, admin: User
):
    run = execution(deployed, admin, ("main",), WANTED)

    answer = asker(admin, "run")("POST", f"/runs/{run.pk}/cancel")

    run.refresh_from_db()
    assert answer.status_code in (403, 404)
    assert run.cancel_requested_at is None
