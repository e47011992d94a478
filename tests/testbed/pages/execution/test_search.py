"""A search of answers reads within bounds, and says how far it came."""

import pytest
from django.contrib.auth.models import User

from testbed.models import Run, Testbed
from testbed.pages.execution import search as searching
from testbed.pages.execution.answers import SHOWN_LINES, Block, answers_of
from testbed.pages.execution.search import PIECE_BYTES, Found, search
from tests.testbed.answer_rows import answer, execution

NAMES = [f"web-{n}" for n in range(4)]
ME, OTHER = 1, 2


@pytest.fixture
def run(testbed: Testbed, owner: User) -> Run:
    return execution(testbed, owner, NAMES)


def folded(found: Found) -> list[str]:
    return [block.folded for block in found.blocks]


def blocks_of(run: Run) -> tuple[Block, ...]:
    return answers_of(run).blocks


def test_text_finds_answers_and_the_lines_that_have_it(run: Run):
    answer(run, NAMES[0], "a", "Needle one", "b\rneedle two")
    answer(run, NAMES[1], "c")
    answer(run, NAMES[2], exit_code=None, message="The needle is gone.")

    found = search(ME, run, blocks_of(run), "NEEDLE")

    assert folded(found) == ["web-2", "web-0"]
    lines = found.excerpts[found.blocks[1].key].lines
    assert [(n, text) for n, _, text in lines] == [
        (2, "Needle one"),
        (3, "b\rneedle two"),
    ]
    assert found.is_whole
    assert found.searched_bytes == found.total_bytes


@pytest.mark.parametrize("text", ["O", "Ὀδός", "STRASSE"])
def test_letters_of_any_kind_are_found_but_no_marks_of_streams(run: Run, text: str):
    answer(run, NAMES[0], "x")
    answer(run, NAMES[1], "ὈΔΌΣ und Straße o")

    assert folded(search(ME, run, blocks_of(run), text)) == ["web-1"]


def test_lines_behind_the_first_piece_have_their_numbers(run: Run):
    lines = [f"line {n} {'x' * 90}" for n in range(PIECE_BYTES // 80)]
    answer(run, NAMES[0], *lines, *["needle"] * (SHOWN_LINES + 5))

    (excerpt,) = search(ME, run, blocks_of(run), "needle").excerpts.values()

    assert excerpt.lines[0][0] == len(lines) + 1
    assert (len(excerpt.lines), excerpt.hidden) == (SHOWN_LINES, 5)


def test_search_ends_with_its_bytes_and_says_so(run: Run):
    for name in NAMES:
        answer(run, name, f"needle {name} {'x' * 1000}")
    answer(run, NAMES[0], "y", exit_code=1, message="has the needle")

    found = search(ME, run, blocks_of(run), "needle", most_bytes=2100)

    assert folded(found) == ["web-0", "web-1", "web-2"]
    assert not found.is_whole
    assert 2000 < found.searched_bytes <= 2100 < found.total_bytes


def test_search_ends_with_its_time(run: Run):
    answer(run, NAMES[0], "needle")

    found = search(ME, run, blocks_of(run), "needle", most_s=0)

    assert (found.blocks, found.searched_bytes, found.is_whole) == ((), 0, False)
    assert not found.is_replaced


def test_newer_search_of_the_same_user_ends_the_older_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    for name in NAMES:
        answer(run, name, f"needle {name}")
    blocks, read_line = blocks_of(run), searching.read_line
    newer: list[Found] = []

    def read_while_others_search(line: bytes) -> object:
        monkeypatch.setattr(searching, "read_line", read_line)
        search(OTHER, run, blocks, "needle")
        newer.append(search(ME, run, blocks, "needle"))
        return read_line(line)

    monkeypatch.setattr(searching, "read_line", read_while_others_search)
    older = search(ME, run, blocks, "needle")

    assert (older.is_replaced, folded(older)) == (True, ["web-0"])
    assert (newer[0].is_whole, len(newer[0].blocks)) == (True, len(NAMES))
    assert not searching._newest


def test_removed_output_is_passed_over(run: Run):
    answer(run, NAMES[0], "needle")
    (run.testbed.project.answers(run.pk) / NAMES[0]).unlink()

    assert search(ME, run, blocks_of(run), "needle").blocks == ()
