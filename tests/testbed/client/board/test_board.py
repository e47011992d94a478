"""The board of a run: what its frames say, in a terminal of 80 columns."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from testbed.client.board.model import Board, Line, name_of_run
from testbed.client.board.shown import ACTIVE_SHOWN, LiveBoard, rendered
from testbed.client.watching import Frame

PLAN = [
    {"index": 0, "kind": "init", "title": "Begin", "resources": ["lab"]},
    {"index": 1, "kind": "boot", "title": "Start 2 guests", "resources": ["a", "b"]},
    {"index": 2, "kind": "end", "title": "End", "resources": []},
]


def event(kind: str, index: int = 0, resource: str = "", **more: object) -> Frame:
    found = {"type": "event", "kind": kind, "index": index, "resource": resource}
    return {**found, "host": "main", "stream": "", "text": "", "data": {}} | more


def begun(index: int, title: str) -> Frame:
    return event("instruction-started", index, data={"stage": "Guests", "title": title})


def result(index: int, *entries: Frame, success: bool = True) -> Frame:
    frame = {"type": "result", "index": index, "success": success}
    return {**frame, "resources": list(entries)}


def entry(name: str, status: str = "done", message: str = "", hint: str = "") -> Frame:
    return {"name": name, "status": status, "message": message, "hint": hint}


def text_of(board: Board) -> str:
    console = Console(file=io.StringIO(), width=80)
    console.print(rendered(board))
    return console.file.getvalue()


def test_board_shows_what_ended_what_runs_and_what_is_to_come() -> None:
    board = Board.of([*PLAN, {**PLAN[1], "index": 3, "title": "Set up"}])

    board.take(begun(0, "Begin"))
    board.take(result(0, entry("lab")))
    board.take(begun(1, "Start 2 guests"))
    board.take(event("task-started", 1, "a"))
    progress = {"done": 50, "total": 200, "unit": "B", "note": "copy", "rate": 0}
    board.take(event("task-progressed", 1, "a", data=progress))
    board.take(event("task-finished", 1, "b", data={"status": "done"}))

    text = text_of(board)
    assert "✓ Begin" in text
    assert "• Start 2 guests  1 of 2" in text
    assert "a on main  copy: 50 of 200 B" in text
    assert "1 instruction to come" in text


def test_line_is_behind_its_resource_and_without_terminal_codes() -> None:
    board = Board.of(PLAN)

    lines = board.take(event("log", 1, "a", stream="stderr", text="no\x1b[2Jt [red]"))

    assert lines == [Line("a", "stderr", "not [red]")]


def test_failure_is_printed_with_its_hint() -> None:
    board = Board.of(PLAN)

    lines = board.take(
        result(1, entry("a", "failed", "It broke.", "Try."), success=False)
    )

    assert [line.text for line in lines] == ["It broke.", "Try."]
    assert "✗ Start 2 guests" in text_of(board)


def test_instruction_that_was_cancelled_did_not_fail() -> None:
    board = Board.of(PLAN)
    board.take(begun(1, "Start 2 guests"))

    board.take(result(1, entry("a", "cancelled"), entry("b"), success=False))

    assert "- Start 2 guests" in text_of(board)
    assert "failed" not in text_of(board)


def test_board_of_many_tasks_stays_small() -> None:
    board = Board.of(PLAN)
    board.take(begun(1, "Start 2 guests"))
    for number in range(1000):
        board.take(event("task-started", 1, f"web-{number}"))

    assert f"and {1000 - ACTIVE_SHOWN} more" in text_of(board)
    assert len(text_of(board).splitlines()) < 24


def test_replayed_run_ends_with_its_message() -> None:
    board = Board.of(PLAN)

    board.take({"type": "run", "status": "failed", "message": "No.", "hint": "Ask."})

    assert (board.status, board.message, board.hint) == ("failed", "No.", "Ask.")


def test_board_is_drawn_on_a_terminal_with_lines_above() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    shown = LiveBoard(Board.of(PLAN), console)

    with shown.live():
        shown.show(begun(1, "Start 2 guests"))
        shown.show(event("log", 1, "a", stream="stdout", text="hello [bold]"))
        shown.note("The connection broke: it is made again.")

    text = Text.from_ansi(console.file.getvalue()).plain
    assert "a | hello [bold]" in text
    assert "The connection broke" in text
    assert "• Start 2 guests" in text


def test_titles_and_names_have_no_codes_of_terminals() -> None:
    code = "\x1b]52;c;dGhlaXJz\x07\x1b[2J"
    board = Board.of([{**PLAN[1], "title": f"Run {code}echo"}])
    board.take(event("task-started", 1, f"a{code}"))
    data = {"stage": code, "title": f"Run {code}echo"}
    board.take(event("instruction-started", 1, data=data))

    assert "\x1b" not in text_of(board)
    assert "Run echo" in text_of(board)


@pytest.mark.parametrize(
    ("name", "title", "shown"),
    [
        ("Up", "", "Up"),
        ("Power", "Reboot", "Power: Reboot"),
        ("Fetch", "fetch /etc/hosts", "Fetch: /etc/hosts"),
        ("Check", "Check", "Check"),
        ("Command", "ls -l", "Command: ls -l"),
    ],
)
def test_run_is_named_by_its_command_and_title(
    name: str, title: str, shown: str
) -> None:
    assert name_of_run({"name": name, "title": title}) == shown
