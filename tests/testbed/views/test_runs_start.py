"""Runs are started in the browser and by other clients, or refused with the reason.

A page is answered with a page and JSON with JSON; both say what is wrong where, and a
refusal leaves no run behind.
"""

from dataclasses import replace

from django.http import HttpResponse
from django.test import Client

from orchestration.plan.model import Command, Options
from testbed.models import Run, Testbed
from tests.testbed.conftest import Doors, MakeRun
from tests.testbed.preparing import prepare


def test_button_leads_to_the_run_page(browser: Client, testbed: Testbed, doors: Doors):
    answer = browser.post(
        "/testbeds/olive/lab/runs/", {"command": "up", "provision": "on"}, follow=True
    )

    run = Run.objects.get()
    assert answer.redirect_chain == [(f"/runs/{run.pk}/", 302)]
    assert run.options == {"provision": True, "rerun_scripts": False}
    assert " data-drive" in answer.content.decode()


def test_json_client_gets_the_instructions(
    browser: Client, testbed: Testbed, doors: Doors
):
    answer = browser.post(
        "/testbeds/olive/lab/runs/",
        {"command": "up"},
        headers={"Accept": "application/json"},
    ).json()

    run = Run.objects.get()
    assert answer["run"] == run.pk
    assert [one["index"] for one in answer["instructions"]] == list(
        range(len(run.plan["instructions"]))
    )
    assert answer["instructions"][0]["kind"] == "init"
    assert answer["instructions"][-1]["kind"] == "end"
    start = next(i for i in answer["instructions"] if i["kind"] == "start-guests")
    assert start["resources"] == ["web", "db"]
    assert set(start) == {"index", "kind", "title", "resources"}


def test_clients_own_plan_is_taken_only_when_it_is_ours_too(
    browser: Client, testbed: Testbed, doors: Doors
):
    _, ours = prepare(testbed, Command.UP, Options())
    other = replace(ours, instructions=ours.instructions[:-2])

    refused = post_plan(browser, other.to_json())
    broken = post_plan(browser, "{}")
    taken = post_plan(browser, ours.to_json())

    assert refused.status_code == broken.status_code == 422
    assert "not the one that the server made" in refused.json()["error"]
    assert taken.json()["run"] == Run.objects.get().pk


def post_plan(browser: Client, plan: str) -> HttpResponse:
    return browser.post(
        "/testbeds/olive/lab/runs/",
        {"command": "up", "plan": plan},
        headers={"Accept": "application/json"},
    )


def test_busy_testbed_says_who_and_since_when(
    browser: Client, testbed: Testbed, make_run: MakeRun
):
    make_run()

    page = browser.post("/testbeds/olive/lab/runs/", {"command": "down"})
    body = browser.post(
        "/testbeds/olive/lab/runs/",
        {"command": "down"},
        headers={"Accept": "application/json"},
    )

    assert (page.status_code, body.status_code) == (409, 409)
    assert "olive has been running up on testbed lab since" in page.content.decode()
    assert "olive has been running up" in body.json()["error"]
    assert body.json()["hint"] == "Wait until it is over, or cancel it."


def test_wrong_yaml_is_refused_with_its_findings(
    browser: Client, testbed: Testbed, doors: Doors
):
    testbed.project.yaml.write_text("machines:\n  - name: web\n")

    page = browser.post("/testbeds/olive/lab/runs/", {"command": "up"})
    body = browser.post(
        "/testbeds/olive/lab/runs/",
        {"command": "up"},
        headers={"Accept": "application/json"},
    )

    assert (page.status_code, body.status_code) == (422, 422)
    assert f'href="/testbeds/olive/{testbed.slug}/edit/"' in page.content.decode()
    assert "line 2" in page.content.decode()
    assert body.json()["findings"][0]["line"] == 2
    assert not Run.objects.exists()


def test_unknown_command_is_refused(browser: Client, testbed: Testbed):
    answer = browser.post("/testbeds/olive/lab/runs/", {"command": "rm -rf"})

    assert answer.status_code == 400
    assert not Run.objects.exists()


def test_up_of_what_is_not_built_yet_is_refused_in_one_sentence(
    browser: Client, testbed: Testbed
):
    yaml = "machines: [{name: box, docker: {image: nginx}}]\nnetwork: {}\n"
    testbed.project.yaml.write_text(yaml)

    answer = browser.post("/testbeds/olive/lab/runs/", {"command": "up"})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert 'bring up guest box (<code class="key">docker</code>).' in page
    assert 'id="refusal"' in page
    assert 'id="live"' in page
    assert not testbed.runs.exists()
