"""Runs are started, watched and cancelled in the browser."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from orchestration.events import TaskProgressed
from orchestration.instructions.base import Command, Options
from testbed.board import SHOWN_TASKS, stage_of, stages_of
from testbed.event_rows import insert, rows_of, task_change
from testbed.fragments import html_of
from testbed.models import Run, Task, Testbed
from testbed.services.planning import prepare
from tests.testbed.conftest import Doors
from tests.testbed.talking import say

MakeRun = Callable[..., Run]


def end(run: Run, status: str, **values: object) -> None:
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(
        status=status, started_at=now - timedelta(seconds=75), ended_at=now, **values
    )


def test_button_leads_to_the_run_page(browser: Client, testbed: Testbed, doors: Doors):
    answer = browser.post(
        "/testbeds/lab/runs/", {"command": "up", "provision": "on"}, follow=True
    )

    run = Run.objects.get()
    assert answer.redirect_chain == [(f"/runs/{run.pk}/", 302)]
    assert run.options == {"provision": True, "rerun_scripts": False}
    assert " data-drive" in answer.content.decode()


def test_json_client_gets_the_instructions(
    browser: Client, testbed: Testbed, doors: Doors
):
    answer = browser.post(
        "/testbeds/lab/runs/",
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
        "/testbeds/lab/runs/",
        {"command": "up", "plan": plan},
        headers={"Accept": "application/json"},
    )


def test_busy_testbed_says_who_and_since_when(
    browser: Client, testbed: Testbed, make_run: MakeRun
):
    make_run()

    page = browser.post("/testbeds/lab/runs/", {"command": "down"})
    body = browser.post(
        "/testbeds/lab/runs/",
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

    page = browser.post("/testbeds/lab/runs/", {"command": "up"})
    body = browser.post(
        "/testbeds/lab/runs/", {"command": "up"}, headers={"Accept": "application/json"}
    )

    assert (page.status_code, body.status_code) == (422, 422)
    assert f'href="/testbeds/{testbed.slug}/edit/"' in page.content.decode()
    assert "line 2" in page.content.decode()
    assert body.json()["findings"][0]["line"] == 2
    assert not Run.objects.exists()


def test_unknown_command_is_refused(browser: Client, testbed: Testbed):
    answer = browser.post("/testbeds/lab/runs/", {"command": "rm -rf"})

    assert answer.status_code == 400
    assert not Run.objects.exists()


def test_stranger_can_neither_see_nor_cancel(
    client: Client, stranger: User, make_run: MakeRun
):
    run = make_run()
    client.force_login(stranger)

    gets = [
        client.get(f"/runs/{run.pk}/{path}")
        for path in ("", "log/", "log.txt", "stage/?name=Network")
    ]
    cancel = client.post(f"/runs/{run.pk}/cancel/")

    assert {answer.status_code for answer in [*gets, cancel]} == {404}
    run.refresh_from_db()
    assert run.cancel_requested_at is None


def test_only_the_one_who_asked_drives(
    browser: Client, client: Client, admin: User, make_run: MakeRun
):
    run = make_run()
    own = browser.get(f"/runs/{run.pk}/").content.decode()
    client.force_login(admin)
    other = client.get(f"/runs/{run.pk}/").content.decode()

    assert " data-drive" in own
    assert " data-drive" not in other


def test_cancel_button_works_without_a_script(browser: Client, make_run: MakeRun):
    run = make_run()

    answer = browser.post(f"/runs/{run.pk}/cancel/")

    assert answer["Location"] == f"/runs/{run.pk}/"
    run.refresh_from_db()
    assert run.cancel_requested_at is not None


def test_cancelling_is_said_as_it_is(browser: Client, make_run: MakeRun):
    run = make_run()
    Run.objects.update(status="cancelling", cancel_requested_at=timezone.now())

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "ending what was started" in page
    assert 'id="cancel" disabled' in page


def test_cancelled_run_says_what_is_there_and_offers_three_ways(
    browser: Client, make_run: MakeRun, testbed: Testbed
):
    run = make_run()
    end(run, "cancelled")
    testbed.observed_guests.create(
        name="web", host="main", status="running", observed_at=timezone.now()
    )

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "Nothing that this run started is alive any more." in page
    assert "What is there: 1 guest running." in page
    assert all(words in page for words in ("Go on", "Take down", "Keep what is there"))
    assert "1 min 15 s" in page


def test_leftovers_are_listed_and_nothing_is_claimed(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    left = [
        {"host": "main", "machine": "web", "tag": "t", "pid": 4711, "name": "sleep 9"},
        {"host": "host-b", "machine": "host-b", "tag": "t", "pid": 0, "name": "Gone."},
    ]
    end(run, "cancelled", leftovers=left)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "<b>main</b>, in web: process <code>4711</code>" in page
    assert "<b>host-b</b>: Gone." in page
    assert "alive any more" not in page


def test_failed_run_says_which_and_what_to_do(browser: Client, make_run: MakeRun):
    run = make_run()
    task = Task.objects.filter(instruction__kind="start-guests").first()
    Task.objects.filter(pk=task.pk).update(
        status="failed", message="It has no disk.", hint="Make one.", detail="\x1b[1mE"
    )
    end(run, "failed", message="1 guest was not started.")

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "Up failed." in page
    assert page.count("It has no disk.") == 2
    assert "Make one." in page
    assert "\x1b" not in page


def test_page_holds_what_the_rows_say(browser: Client, make_run: MakeRun):
    run = make_run()
    say(run, ["\x1b[32mready\x1b[0m <b>now</b>", "10%\r50%\r100%"])

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert f'data-last-seq="{run.last_seq}"' in page
    assert "ready &lt;b&gt;now&lt;/b&gt;" in page
    assert ">100%<" in page


def test_copy_is_shown_with_bytes_rate_and_what_is_left(
    browser: Client, make_run: MakeRun
):
    run, mib = make_run(), 1024 * 1024
    task = Task.objects.filter(instruction__run=run).first()
    copies = TaskProgressed(
        0, task.resource, task.host, 48 * mib, 200 * mib, "B", "copy", 92 * mib, 2
    )
    Task.objects.filter(pk=task.pk).update(status="running", **task_change(copies))
    insert(run.pk, rows_of(copies, at=timezone.now()))

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    event = run.events.get(kind="task-progressed")
    for html in (page, html_of(event, run)):
        assert 'aria-valuetext="48 of 200 MiB, 92 MiB/s, 2 s left"' in html
        for words in ("copy", "48 of 200 MiB", "92 MiB/s", "2 s left"):
            assert f"<span>{words}</span>" in html


def copying(run: Run, *copies: dict[str, object]) -> list[Task]:
    """Let the first stage of a run have these copies, and nothing else."""
    instruction = run.instructions.first()
    Task.objects.filter(instruction__stage=instruction.stage).delete()
    return [
        Task.objects.create(
            instruction=instruction,
            resource=f"image {number}",
            host="main",
            **{"unit": "B", "status": "running", **values},
        )
        for number, values in enumerate(copies)
    ]


def test_copies_of_a_stage_are_summed_up_in_its_head(
    browser: Client, make_run: MakeRun, django_assert_max_num_queries
):
    run, mib = make_run(), 1024 * 1024
    tasks = copying(
        run,
        {"done": 48 * mib, "total": 200 * mib, "rate": 92 * mib, "left_s": 2},
        {"done": 10 * mib, "total": 300 * mib, "rate": 10 * mib, "left_s": 29},
        {"done": 90 * mib, "total": 100 * mib, "status": "done"},
        {"done": 50 * mib, "total": 100 * mib, "status": "failed"},
        {"done": 3, "total": 9, "unit": "s"},
        {"status": "waiting", "unit": ""},
    )
    at = TaskProgressed(
        tasks[0].instruction.index, tasks[0].resource, "main", 1, 2, "B"
    )
    insert(run.pk, rows_of(at, at=timezone.now()))

    page = browser.get(f"/runs/{run.pk}/").content.decode()
    event = run.events.get(kind="task-progressed")
    with django_assert_max_num_queries(2):
        pushed = html_of(event, run)

    words = ("3 copies", "158 of 600 MiB", "102 MiB/s", "29 s left")
    told = "".join(f"<span>{word}</span>" for word in words)
    stage = tasks[0].instruction.stage
    for html in (page, pushed):
        assert f'id="{stage_of(run, stage).id}-copies">{told}</span>' in html


@pytest.mark.parametrize(
    "copies",
    [
        [{"done": 1, "total": 2}],  # its card says it all
        [{"done": 2, "total": 2, "status": "done"}] * 2,
        [{"done": 1, "total": 0}] * 2,
        [],
    ],
)
def test_nothing_is_summed_up_where_there_are_not_several(
    make_run: MakeRun, copies: list[dict[str, object]]
):
    run = make_run()
    copying(run, *copies)

    assert stage_of(run, run.instructions.first().stage).copies is None


def test_time_left_is_unknown_while_that_of_one_copy_is(make_run: MakeRun):
    run = make_run()
    known = {"done": 1, "total": 20, "rate": 5, "left_s": 4}
    copying(run, known, {**known, "rate": 0, "left_s": None})

    copies = stage_of(run, run.instructions.first().stage).copies

    assert copies is not None
    assert (copies.rate, copies.left_s) == (5, None)


def test_queries_do_not_grow_with_tasks_and_lines(
    browser: Client, make_run: MakeRun, django_assert_max_num_queries
):
    run = make_run()
    instruction = run.instructions.first()
    Task.objects.bulk_create(
        Task(instruction=instruction, resource=f"r{n}", host="main") for n in range(300)
    )
    say(run, ["x"] * 500)

    with django_assert_max_num_queries(10):
        assert browser.get(f"/runs/{run.pk}/").status_code == 200


def test_stage_is_the_same_alone_and_on_the_page(browser: Client, make_run: MakeRun):
    run = make_run()

    alone = browser.get(f"/runs/{run.pk}/stage/?name=Network").content.decode()
    missing = browser.get(f"/runs/{run.pk}/stage/?name=Nothing")

    assert alone.strip() in browser.get(f"/runs/{run.pk}/").content.decode()
    assert stage_of(run, "Network") in stages_of(run)
    assert missing.status_code == 404


def test_full_stage_shows_what_needs_eyes(make_run: MakeRun):
    run = make_run()
    first, last = run.instructions.first(), run.instructions.get(kind="start-guests")
    first.stage = last.stage
    first.save()
    Task.objects.bulk_create(
        Task(instruction=first, resource=f"a{n}", host="main", status="done")
        for n in range(SHOWN_TASKS)
    )
    Task.objects.bulk_create(
        Task(instruction=last, resource=f"b{n}", host="main", status="failed")
        for n in range(5)
    )

    stage = stage_of(run, last.stage)

    shown = [task for group in stage.groups for task in group.tasks]
    assert len(shown) == SHOWN_TASKS
    assert sum(task.status == "failed" for task in shown) == 5
    assert sum(group.hidden for group in stage.groups) == stage.total - SHOWN_TASKS
    assert dict(stage.counts)["failed"] == 5


def test_past_runs_are_paged_and_all_kept(
    browser: Client, testbed: Testbed, owner: User
):
    for _ in range(55):
        Run.objects.create(
            testbed=testbed, command="up", plan={}, asked_by=owner, status="failed"
        )

    first = browser.get("/testbeds/lab/runs/").content.decode()
    second = browser.get("/testbeds/lab/runs/?page=2").content.decode()

    assert first.count('class="runs__row"') == 50
    assert second.count('class="runs__row"') == 5


def test_up_of_what_is_not_built_yet_is_refused_in_one_sentence(
    browser: Client, testbed: Testbed
):
    yaml = "machines: [{name: box, docker: {image: nginx}}]\nnetwork: {}\n"
    testbed.project.yaml.write_text(yaml)

    answer = browser.post("/testbeds/lab/runs/", {"command": "up"})

    assert answer.status_code == 422
    page = answer.content.decode()
    assert 'bring up guest box (<code class="key">docker</code>).</h1>' in page
    assert "bring up guest box (docker). · Testbed</title>" in page
    assert not testbed.runs.exists()
