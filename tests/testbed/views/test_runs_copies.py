"""Copies on the page of a run: bytes, rate and what is left, alone and summed up.

What the page shows at first and what is pushed to it later is the same.
"""

import pytest
from django.test import Client
from django.utils import timezone

from orchestration.events import TaskProgressed
from testbed.models import Run, Task
from testbed.pages.board import stage_of
from testbed.runs.event_rows import insert, rows_of, task_change
from testbed.websocket.fragments import html_of
from tests.testbed.conftest import MakeRun
from tests.testbed.reading import squeezed


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
        assert f'id="{stage_of(run, stage).id}-copies">{told}</span>' in squeezed(html)


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
