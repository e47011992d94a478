"""Runs by the API: started with 202, followed, cancelled, read."""

from testbed.models import Entry, Run
from tests.testbed.api.conftest import Ask
from tests.testbed.api.test_problems import said
from tests.testbed.conftest import MakeRun

LAB = "/testbeds/olive/lab"


def test_command_starts_a_run_at_its_location(ask: Ask, testbed):
    answer = ask("POST", f"{LAB}/runs", {"command": "up"})

    run = Run.objects.get()
    shown = ask("GET", answer.headers["Location"]).json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/runs/{run.pk}"
    assert answer.json()["instructions"] == shown["instructions"]
    assert shown["testbed"] == "olive/lab"
    assert Entry.objects.filter(act="up", run_number=run.pk).exists()


def test_same_start_with_a_key_starts_one_run(ask: Ask, testbed):
    starts = [
        ask("POST", f"{LAB}/runs", {"command": "up"}, Idempotency_Key="k")
        for _ in range(2)
    ]

    assert [start.status_code for start in starts] == [202, 202]
    assert starts[0].json() == starts[1].json()
    assert Run.objects.count() == 1


def test_second_run_beside_one_is_refused(ask: Ask, testbed):
    ask("POST", f"{LAB}/runs", {"command": "up"})

    assert (
        "running up"
        in said(ask("POST", f"{LAB}/runs", {"command": "up"}), 409)["detail"]
    )


def test_yaml_with_errors_is_refused_with_its_findings(ask: Ask, testbed):
    testbed.project.yaml.write_text("machines: 5\n")

    answer = said(ask("POST", f"{LAB}/runs", {"command": "up"}), 422)

    assert answer["findings"][0]["line"] == 1


def test_unknown_words_name_the_known_ones(ask: Ask, testbed):
    command = said(ask("POST", f"{LAB}/runs", {"command": "boil"}), 422)
    verb = {"verb": "boil", "selection": "web"}
    power = said(ask("POST", f"{LAB}/power", verb), 422)
    mode = {"mode": "boil", "selection": "web"}
    way = said(ask("POST", f"{LAB}/up", mode), 422)
    key = said(ask("POST", f"{LAB}/exec", {"form": "command", "boil": 1}), 422)

    assert "up" in command["hint"]
    assert "reboot" in power["hint"]
    assert "recreate" in way["hint"]
    assert "selection" in key["hint"]


def test_run_is_listed_and_cancelled(ask: Ask, make_run: MakeRun):
    run = make_run()

    listed = ask("GET", f"{LAB}/runs").json()
    cancelled = ask("POST", f"/runs/{run.pk}/cancel")
    again = ask("POST", f"/runs/{run.pk}/cancel")

    run.refresh_from_db()
    assert [item["run"] for item in listed["items"]] == [run.pk]
    assert (cancelled.status_code, again.status_code) == (202, 202)
    assert run.cancel_requested_by.username == "olive"


def test_activity_has_the_runs_that_go_on(ask: Ask, make_run: MakeRun):
    run = make_run()

    found = ask("GET", "/activity").json()

    assert [item["run"] for item in found["running"]] == [run.pk]
    assert (found["count"], found["recent"]) == (1, [])


def test_log_is_text(ask: Ask, make_run: MakeRun):
    run = make_run()

    answer = ask("GET", f"/runs/{run.pk}/log?resource=web")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
