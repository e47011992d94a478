"""The page of a run: who sees and cancels it, and what it says while and after.

It is made from rows only, takes as many queries for many tasks as for few, and shows
of a full stage what needs eyes.
"""

import re
from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.models import Event, Run, Task, Testbed
from testbed.pages.board import SHOWN_TASKS, stage_of, stages_of
from testbed.websocket.fragments import html_of
from tests.testbed.conftest import MakeRun
from tests.testbed.event_rows import say
from tests.testbed.reading import squeezed, visible


def end(run: Run, status: str, **values: object) -> None:
    now = timezone.now()
    Run.objects.filter(pk=run.pk).update(
        status=status, started_at=now - timedelta(seconds=75), ended_at=now, **values
    )


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


def test_whole_testbed_is_named_and_not_called_by_its_key(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    Testbed.objects.update(name="ring")
    task = Task.objects.filter(instruction__run=run, resource="lab").first()
    assert task is not None
    say(run, ["told"], resource="lab")

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert '<span class="task__name">ring</span>' in page
    assert '<span class="task__name">lab</span>' not in page
    assert ">lab<" not in squeezed(page)


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

    assert "ending what was started" in visible(page)
    assert 'id="cancel" disabled' in squeezed(page)


def test_cancelled_run_says_what_is_there_and_offers_three_ways(
    browser: Client, make_run: MakeRun, testbed: Testbed
):
    run = make_run()
    end(run, "cancelled")
    testbed.observed_guests.create(
        name="web", host="main", status="running", observed_at=timezone.now()
    )
    Testbed.objects.update(observed_at=timezone.now())

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "have ended" not in page, "the run's own message says what is proven"
    assert "On the hosts, updated just now: 1 guest running." in visible(page)
    assert all(words in page for words in ("Resume Up", "Down", "Leave as is"))
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

    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())

    assert "main , in web: process 4711" in page
    assert "host-b : Gone." in page
    assert "have ended" not in page


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

    first = browser.get("/testbeds/olive/lab/runs/").content.decode()
    second = browser.get("/testbeds/olive/lab/runs/?page=2").content.decode()

    assert first.count('class="runs__row"') == 50
    assert second.count('class="runs__row"') == 5


def test_outcome_claims_nothing_that_is_older_than_the_end_of_the_run(
    browser: Client, make_run: MakeRun, testbed: Testbed
):
    run = make_run()
    Testbed.objects.update(observed_at=timezone.now())
    Task.objects.filter(instruction__kind="start-guests").update(status="done")
    end(run, "cancelled")

    page = visible(browser.get(f"/runs/{run.pk}/").content.decode())

    assert "The hosts were not read since this run ended; by its own results: " in page
    assert "guest started." in page or "guests started." in page


def test_running_time_and_state_are_shown_without_a_script(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    began = timezone.now() - timedelta(seconds=125)
    Run.objects.filter(pk=run.pk).update(status="running", started_at=began)

    page = browser.get(f"/runs/{run.pk}/").content.decode()

    assert "2 min 05 s</time>" in page
    assert "<title>running: Up #" in squeezed(page)


def test_stages_that_a_run_did_not_reach_wait_no_more(
    browser: Client, make_run: MakeRun
):
    run = make_run()
    waiting = squeezed(browser.get(f"/runs/{run.pk}/").content.decode())
    end(run, "cancelled", message="Cancelled by olive.")
    run.refresh_from_db()

    page = squeezed(browser.get(f"/runs/{run.pk}/").content.decode())
    pushed = squeezed(html_of(Event(run=run, kind=Event.Kind.RUN), run))

    assert "stage--waiting" in waiting
    assert "waiting" not in "".join(stages_in(page))
    assert "skipped" in visible("".join(stages_in(page)))
    assert 'value="0"' in page
    assert stages_in(pushed) == stages_in(page)
    assert Task.objects.filter(status=Task.Status.WAITING).exists()


def stages_in(source: str) -> list[str]:
    """Return the HTML of each stage."""
    return re.findall(r'<details class="stage .*?</details>', source)
