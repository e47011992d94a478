"""Equal answers are one block, failures first; odd ones are marked."""

from dataclasses import replace

import pytest

from orchestration.plan.execution import Conditions
from testbed.models import Task
from testbed.pages.execution.answers import (
    SHOWN_LINES,
    answers_of,
    changed_since,
    excerpt,
    previous_run,
)
from tests.testbed.answer_rows import UNAME, answer, end, execution

NAMES = [f"web-{n}" for n in range(6)]


@pytest.fixture
def run(testbed, owner):
    return execution(testbed, owner, NAMES)


def test_equal_answers_fold_and_the_odd_one_stands_out(run):
    for name in NAMES[:5]:
        answer(run, name, "Linux")
    answer(run, NAMES[5], "BSD")

    blocks = answers_of(run).blocks

    assert [(b.folded, b.is_odd) for b in blocks] == [
        ("web-5", True),
        ("web-[0-4]", False),
    ]


def test_failures_come_first(run):
    for name in NAMES[:4]:
        answer(run, name, "Linux")
    answer(run, NAMES[4], "Linux", exit_code=1)
    answer(run, NAMES[5], errors=["no"], exit_code=127)

    found = answers_of(run)

    codes = [b.answer.exit_code for b in found.blocks]
    assert sorted(codes[:2]) == [1, 127]
    assert codes[2] == 0
    assert found.failed_names == ("web-4", "web-5")
    assert not any(block.is_odd for block in found.blocks)


def test_standard_error_is_not_standard_output(run):
    answer(run, NAMES[0], "x")
    answer(run, NAMES[1], errors=["x"])

    assert len(answers_of(run).blocks) == 2


def test_guests_that_failed_alike_are_one_block_with_all_their_names(run):
    for name in NAMES[:3]:
        words = f"Guest {name} on main does not answer: main-2 is lost."
        answer(run, name, exit_code=None, message=words)

    (block,) = answers_of(run).blocks

    assert block.answer is None
    assert block.message == "Guest web-[0-2] on main does not answer: main-2 is lost."


def test_guests_without_an_answer_are_counted_until_the_run_is_over(run):
    answer(run, NAMES[0], "x")
    Task.objects.filter(resource=NAMES[1]).update(status="running")
    open_ones = answers_of(run)
    end(run, "cancelled")
    over = answers_of(run)

    assert (open_ones.over, open_ones.total) == (1, 6)
    assert (open_ones.running, open_ones.waiting_folded) == (("web-1",), "web-[2-5]")
    assert (over.over, over.failed) == (6, 5)
    assert over.blocks[0].folded == "web-[1-5]"


def test_excerpt_has_the_first_lines_and_counts_the_rest(run):
    answer(run, NAMES[0], *(f"line {n}" for n in range(5000)))

    found = excerpt(run, answers_of(run).blocks[0])

    assert [text for _, _, text in found.lines][:2] == ["line 0", "line 1"]
    assert (len(found.lines), found.hidden) == (SHOWN_LINES, 5000 - SHOWN_LINES)


def test_output_that_was_removed_has_no_excerpt(run):
    answer(run, NAMES[0], "a")
    (run.testbed.project.answers(run.pk) / NAMES[0]).unlink()

    assert excerpt(run, answers_of(run).blocks[0]) is None


def test_last_run_of_the_same_command_is_found_by_what_it_ran(testbed, owner, run):
    end(run)
    other = replace(UNAME, conditions=Conditions(sudo=True))
    end(execution(testbed, owner, NAMES, other))
    again = execution(testbed, owner, NAMES[:2], replace(UNAME, selection="web-[0-1]"))

    assert previous_run(again) == run
    assert previous_run(run) is None


def test_changed_guests_are_those_that_answered_something_else(testbed, owner, run):
    again = execution(testbed, owner, NAMES[:3])
    for name in NAMES[:3]:
        answer(run, name, "old")
    for name, line in zip(NAMES[:3], ("old", "new", "old"), strict=True):
        answer(again, name, line)

    assert changed_since(answers_of(again), answers_of(run)) == ("web-1",)


def test_answers_are_one_query_for_any_number_of_guests(
    testbed, owner, django_assert_num_queries
):
    run = execution(testbed, owner, [f"n{number}" for number in range(200)])

    with django_assert_num_queries(1):
        assert answers_of(run).total == 200
