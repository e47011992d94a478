"""The interface as a user drives it, against a server that answers from the test."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import httpx
import pytest
from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import DataTable

from testbed.client.console import ConsoleEnded
from testbed.client.tui.app import HelpScreen, Keys, TestbedApp
from testbed.client.tui.asking import Lab
from testbed.client.tui.base import StateLine, fill
from testbed.client.tui.listing import ListingScreen
from testbed.client.tui.questions import EraseQuestion, NameQuestion, Question
from testbed.client.tui.runs.log import LogView
from testbed.client.tui.runs.run import RunScreen
from testbed.client.tui.testbed import TestbedScreen
from tests.testbed.client.tui.conftest import (
    BEGUN,
    ERASES,
    Answer,
    Office,
    Socket,
    event,
    lab_of,
    log,
    run_of,
)

SMALL, LARGE = (80, 24), (120, 40)
PATIENCE = 1500
End = {"type": "run", "seq": 90, "message": "Over.", "hint": ""}


async def until(pilot: Pilot[None], is_so: Callable[[], object]) -> None:
    """Let the interface go on until something is so."""
    for _ in range(PATIENCE):
        await pilot.pause(0.02)
        if is_so():
            return
    raise AssertionError(text_of(pilot))


def text_of(pilot: Pilot[None]) -> str:
    """Return the screen as characters."""
    app = pilot.app
    width, height = app.size
    lines = app.screen._compositor.render_strips()
    return "\n".join(strip.text[:width] for strip in lines[:height])


def shows(pilot: Pilot[None], *words: str) -> Callable[[], bool]:
    """Tell whether all is on the screen: a line that grows is painted cut once."""
    return lambda: all(one in text_of(pilot) for one in words)


def is_at(pilot: Pilot[None], kind: type) -> Callable[[], bool]:
    return lambda: isinstance(pilot.app.screen, kind)


def names_in(pilot: Pilot[None]) -> list[str]:
    table = pilot.app.screen.query_one(DataTable)
    return [str(key.value) for key in table.rows]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_list_shows_testbeds_whole(lab: Lab, size: tuple[int, int]) -> None:
    async with TestbedApp(lab).run_test(size=size) as pilot:
        await until(pilot, shows(pilot, "olive"))
        words = ("ring", "paul", "draft", "1/2", "up 42 %", "Running now", "Seen at")
        await until(pilot, shows(pilot, *words))
        await until(pilot, shows(pilot, "Enter Open", "Filter", "Quit", "Help"))


async def test_filter_leaves_what_is_typed(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: len(names_in(pilot)) == 2)
        await pilot.press("slash", *"ring", "space", *"draft")
        assert names_in(pilot) == ["paul/ring"]
        await until(pilot, shows(pilot, "ring draft"))
        await pilot.press("escape")
        assert len(names_in(pilot)) == 2


async def test_list_changes_below_the_cursor(lab: Lab, office: Office) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: len(names_in(pilot)) == 2)
        await pilot.press("down")
        names = ("anna/first", "olive/lab", "paul/ring")
        office.put_list("/testbeds", [lab_of(name) for name in names])
        await until(pilot, lambda: len(names_in(pilot)) == 3)
        assert pilot.app.screen.query_one(DataTable).cursor_row == 2


async def test_server_that_is_away_leaves_old_data_with_its_time(
    lab: Lab, office: Office
) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        office.is_away = True
        await until(pilot, shows(pilot, "does not answer: refused."))
        await until(pilot, shows(pilot, "Shown is what was seen at"))
        assert "olive" in text_of(pilot)
        assert pilot.app.screen.query_one(StateLine).has_class("-lost")
        office.is_away = False
        await until(pilot, lambda: "does not answer" not in text_of(pilot))


@pytest.mark.parametrize("bad", ["none", ["none"], [{"testbed": "olive/lab"}]])
async def test_answer_of_another_shape_is_told_and_asked_for_again(
    lab: Lab, office: Office, bad: object
) -> None:
    async with TestbedApp(lab).run_test(size=SMALL) as pilot:
        await until(pilot, shows(pilot, "olive"))
        good = office.answers["GET /testbeds"]
        office.answers["GET /testbeds"] = (200, {"items": bad})
        await until(pilot, shows(pilot, "The answer was not understood"))
        await pilot.press("slash", "o")
        await until(pilot, shows(pilot, "olive"))
        office.answers["GET /testbeds"] = good
        await until(pilot, lambda: "not understood" not in text_of(pilot))


async def test_result_of_another_shape_is_told(lab: Lab, office: Office) -> None:
    office.sockets.append(Socket())
    office.sockets[0].put(End | {"status": "succeeded"})
    started = {"run": 7, "status": "pending", "instructions": []}
    office.answers["POST /testbeds/olive/lab/exec"] = (202, started)
    office.answers["GET /runs/7/answers"] = (200, {"blocks": [{"status": 5}]})
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("x", *"uname", "enter")
        await until(pilot, shows(pilot, "The answer was not understood"))


async def test_frame_of_another_shape_ends_no_run(lab: Lab, office: Office) -> None:
    first, second = Socket(), Socket()
    office.sockets += [first, second]
    first.put(BEGUN, {"type": "event", "kind": "log"})
    second.put(log(2, "web", "after"), End | {"status": "succeeded"})
    async with TestbedApp(lab).run_test(size=SMALL) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, "web | after"))
        await until(pilot, shows(pilot, ": succeeded."))


async def test_pauses_between_tries_grow() -> None:
    lab = Lab("http://lab.example")

    pauses = [lab.pause_s(failures) for failures in range(1, 8)]

    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1] == pauses[-2]


async def test_testbed_shows_guests_and_its_runs(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "10.0.0.2"))
        words = ("web", "shut off", "host-01", "2026-03-01", "1 of 2 guests up")
        await until(pilot, shows(pilot, *words))
        keys = ("Up", "Down", "Exec", "Watch", "Back", "Help")
        await until(pilot, shows(pilot, *keys))
        await pilot.press("2")
        await until(pilot, shows(pilot, "running 42 %"))


async def test_keys_of_every_tab_fit_into_80_characters(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "10.0.0.2"))
        for tab in "123":
            await pilot.press(tab)
            if tab == "3":
                await until(pilot, shows(pilot, "Restore"))
            await until(pilot, shows(pilot, "q Back ? Help"))


async def test_q_leaves_a_question(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("d")
        await until(pilot, is_at(pilot, Question))
        await pilot.press("q")
        await until(pilot, is_at(pilot, TestbedScreen))


async def test_column_has_the_width_of_its_texts_before_it_is_painted(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=LARGE) as pilot:
        await until(pilot, shows(pilot, "olive"))
        table = pilot.app.screen.query_one(DataTable)
        row = [Text(word) for word in ("a" * 30, "b", "", "", "")]

        fill(table, {"olive/lab": tuple(row)})

        assert [column.width for column in table.ordered_columns[:2]] == [30, 5]


async def test_texts_of_guests_are_no_markup_and_no_codes(
    lab: Lab, office: Office
) -> None:
    evil = lab_of(
        "olive/lab",
        condition="[red]up[/]\x1b]0;title\x07\x1b[2J\x9b",
        last_run=run_of(7),
    )
    office.put_list("/testbeds", [evil])
    socket = Socket()
    office.sockets.append(socket)
    socket.put(BEGUN, log(2, "web", "[b]x[/b] \x1b[31mred\x1b]52;c;AA\x07\ttab \x9b2J"))
    async with TestbedApp(lab).run_test(size=LARGE, notifications=True) as pilot:
        await until(pilot, shows(pilot, "[red]up[/]"))
        await pilot.press("w")
        await until(pilot, shows(pilot, "[b]x[/b] red    tab <U+009B>2J"))
        assert "\x1b" not in text_of(pilot)
        assert "\x9b" not in text_of(pilot)
        socket.put(None)


def refuses_once(office: Office) -> Callable[[httpx.Request], Answer]:
    """Answer 428 until the token of the list comes along."""

    def answer(request: httpx.Request) -> Answer:
        body = office.asked[-1][1]
        if body.get("confirm") != "t1":
            return 428, {"detail": "This erases data.", "erases": ERASES}
        return 202, {"run": 8, "status": "pending", "instructions": []}

    return answer


async def test_clear_asks_for_the_typed_name(lab: Lab, office: Office) -> None:
    key = "POST /testbeds/olive/lab/runs"
    office.answers[key] = refuses_once(office)
    office.answers["GET /runs/8"] = (200, run_of(8))
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("c")
        await until(pilot, is_at(pilot, Question))
        await pilot.press("tab", "enter")
        words = ("disk web on main, 4.0 KiB", "The files stay.", "type lab", "Erase")
        await until(pilot, shows(pilot, *words))
        await pilot.press(*"la", "enter")
        assert isinstance(pilot.app.screen, EraseQuestion)
        await pilot.press("b", "enter")
        await until(pilot, is_at(pilot, RunScreen))
    assert [body.get("confirm", "") for body in office.bodies(key)] == ["", "t1"]


async def test_question_that_is_left_erases_nothing(lab: Lab, office: Office) -> None:
    key = "POST /testbeds/olive/lab/runs"
    office.answers[key] = refuses_once(office)
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("c")
        await until(pilot, is_at(pilot, Question))
        await pilot.press("tab", "enter")
        await until(pilot, is_at(pilot, EraseQuestion))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "Nothing was done."))
    assert len(office.bodies(key)) == 1


async def test_up_sends_its_options_and_the_plan(lab: Lab, office: Office) -> None:
    key = "POST /testbeds/olive/lab/runs"
    started = {"run": 7, "status": "pending", "instructions": run_of(7)["instructions"]}
    office.answers[key] = (202, started)
    socket = Socket()
    office.sockets.append(socket)
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("u")
        await until(pilot, is_at(pilot, Question))
        await until(pilot, shows(pilot, "Run scripts again"))
        assert "▐X▌" not in text_of(pilot)
        pilot.app.screen.query_one("#rerun_scripts").focus()
        await pilot.press("space")
        await until(pilot, shows(pilot, "▐X▌ Run scripts again"))
        await until(pilot, shows(pilot, "▐ ▌ Recreate disks"))
        await pilot.click("#yes")
        await until(pilot, is_at(pilot, RunScreen))
        await until(pilot, lambda: len(socket.sent) == 2)
        socket.put(None)
    (body,) = office.bodies(key)
    assert body["command"] == "up"
    assert (body["provision"], body["rerun_scripts"]) == (False, True)
    assert socket.sent[1] == {"type": "instruction", "index": 0, "kind": "boot"}


async def test_run_shows_its_board_and_log(lab: Lab, office: Office) -> None:
    socket = Socket()
    office.sockets.append(socket)
    progress = {"done": 50, "total": 200, "unit": "B", "note": "copy", "rate": 0}
    socket.put(
        BEGUN,
        event("task-progressed", 2, resource="web", host="main", data=progress),
        log(3, "db", "ready"),
    )
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, "db | ready"))
        words = ("Run 7 up of olive/lab: running", "Start 2 guests", "0 of 2")
        await until(pilot, shows(pilot, *words))
        await until(pilot, shows(pilot, "web on main  copy: 50 of 200 B"))
        await until(pilot, shows(pilot, "Cancel run", "Pause", "Filter", "Back"))
        socket.put(End | {"status": "succeeded"})
        await until(pilot, shows(pilot, "succeeded. Over."))


async def test_run_is_cancelled_when_the_server_says_so(
    lab: Lab, office: Office
) -> None:
    socket = Socket()
    office.sockets.append(socket)
    socket.put(BEGUN)
    office.answers["POST /runs/7/cancel"] = (202, run_of(7, "cancelling"))
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, ": running"))
        await pilot.press("c")
        await until(pilot, is_at(pilot, Question))
        assert office.bodies("POST /runs/7/cancel") == []
        await pilot.press("enter")
        await until(pilot, shows(pilot, ": cancelling"))
        assert "cancelled" not in text_of(pilot)
        socket.put(End | {"status": "cancelled"})
        await until(pilot, shows(pilot, ": cancelled."))


async def test_refused_cancel_leaves_the_run_running(lab: Lab, office: Office) -> None:
    socket = Socket()
    office.sockets.append(socket)
    socket.put(BEGUN)
    refusal = {"detail": "Viewers cancel no run.", "hint": "Ask olive."}
    office.answers["POST /runs/7/cancel"] = (403, refusal)
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, ": running"))
        await pilot.press("c")
        await until(pilot, is_at(pilot, Question))
        await pilot.press("enter")
        await until(pilot, shows(pilot, "Viewers cancel no run."))
        await until(pilot, shows(pilot, ": running"))
        socket.put(None)


async def test_broken_connection_is_made_again_after_the_last_event(
    lab: Lab, office: Office
) -> None:
    first, second = Socket(), Socket()
    office.sockets += [first]
    first.put(BEGUN, log(5, "web", "before"))
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, "before"))
        first.put(None)
        await until(pilot, shows(pilot, "broke"))
        office.sockets.append(second)
        second.put(log(6, "web", "after"), End | {"status": "succeeded"})
        await until(pilot, shows(pilot, "web | after"))
        assert text_of(pilot).count("before") == 1
        await until(pilot, lambda: "broke" not in text_of(pilot))
    assert second.sent[0] == {"type": "subscribe", "after": 5}


async def test_log_is_filtered_paused_and_followed(lab: Lab, office: Office) -> None:
    socket = Socket()
    office.sockets.append(socket)
    socket.put(BEGUN, *(log(n, f"web-{n % 3}", f"line {n}") for n in range(2, 62)))
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, "line 61"))
        view = pilot.app.screen.query_one(LogView)
        height = view.size.height
        await pilot.press("slash", *"web-1", "tab", *"line 4")
        expected = [n for n in (4, *range(40, 50)) if n % 3 == 1]
        assert view.texts == [f"web-1 | line {n}" for n in expected]
        await pilot.press("escape")
        assert len(view.texts) == 60
        # A key that comes while the parts are laid out anew moves nothing.
        await until(pilot, lambda: view.size.height == height)
        await until(pilot, lambda: view.scroll_y == view.max_scroll_y)
        await pilot.press("pageup")
        await until(pilot, shows(pilot, "paused"))
        socket.put(log(70, "web-0", "the newest"))
        await until(pilot, shows(pilot, "paused, 1 new"))
        assert "the newest" not in text_of(pilot)
        await pilot.press("end")
        await until(pilot, shows(pilot, "the newest"))
        socket.put(None)


async def test_log_of_many_lines_is_bounded(lab: Lab, office: Office) -> None:
    socket = Socket()
    office.sockets.append(socket)
    socket.put(
        BEGUN, *(log(n, "web", f"line {n} {'x' * 90}") for n in range(2, 30_002))
    )
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await pilot.app.push_screen(RunScreen(lab, 7))
        await until(pilot, shows(pilot, "line 30001"))
        assert len(pilot.app.screen.query_one(LogView).texts) == 10_000
        await until(pilot, shows(pilot, "30000 lines, the last 10000 kept"))
        await pilot.press("q")
        await until(pilot, is_at(pilot, ListingScreen))


async def test_command_is_cancelled_while_its_line_has_the_keys(
    lab: Lab, office: Office
) -> None:
    office.sockets.append(Socket())
    started = {"run": 7, "status": "pending", "instructions": []}
    office.answers["POST /testbeds/olive/lab/exec"] = (202, started)
    office.answers["POST /runs/7/cancel"] = (202, run_of(7, "cancelling"))
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("x", *"uname", "enter")
        await until(pilot, shows(pilot, "Run 7: running.", "Cancel"))
        await pilot.press("home", "ctrl+k")
        await until(pilot, shows(pilot, "Run 7: cancelling."))
        assert "uname" in text_of(pilot)


async def test_answers_of_a_command_are_folded(lab: Lab, office: Office) -> None:
    socket = Socket()
    office.sockets.append(socket)
    key = "POST /testbeds/olive/lab/exec"
    office.answers[key] = (202, {"run": 7, "status": "pending", "instructions": []})
    good = {"folded": "web-[0-1]", "count": 2, "status": "done", "exit_code": 0}
    bad = {"folded": "db", "count": 1, "status": "failed", "exit_code": 3}
    texts = {"message": "", "hint": ""}
    blocks = [
        good | texts | {"output": [["stdout", "[b]Linux\x1b[2J"]]},
        bad | texts | {"output": [["stderr", "no such"]], "message": "It failed."},
    ]
    answers = {"run": 7, "status": "failed", "message": "1 failed.", "blocks": blocks}
    office.answers["GET /runs/7/answers"] = (200, answers)
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("x", *"uname", "enter")
        await until(pilot, lambda: office.bodies(key))
        socket.put(End | {"status": "failed"})
        await until(pilot, shows(pilot, "web-[0-1] (2), exit code 0"))
        words = ("db, exit code 3", "no such", "It failed.", "1 failed.")
        await until(pilot, shows(pilot, *words))
        text = text_of(pilot)
        assert text.index("db, exit") < text.index("web-[0-1]")
        assert "Linux" not in text
    (body,) = office.bodies(key)
    assert (body["form"], body["words"], body["selection"]) == (
        "shell",
        ["uname"],
        "@all",
    )


def snapshot(name: str, parent: str = "") -> dict[str, object]:
    found = {"name": name, "title": name, "parent": parent, "current": bool(parent)}
    return found | {"created_at": None, "memory": False, "memory_bytes": 0}


async def test_snapshots_are_a_tree_with_acts(lab: Lab, office: Office) -> None:
    path = "/testbeds/olive/lab/snapshots"
    guest = {"guest": "web", "host": "main", "status": "running", "observed_at": None}
    guest["snapshots"] = [snapshot("clean"), snapshot("later", "clean")]
    office.answers[f"GET {path}"] = (200, {"guests": [guest], "groups": []})
    office.answers[f"POST {path}"] = (409, {"detail": "A run goes on."})
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("3")
        await until(pilot, shows(pilot, "later (current)"))
        await pilot.press("down", "down", "t")
        await until(pilot, is_at(pilot, Question))
        await until(pilot, shows(pilot, "Restore snapshot clean of web?"))
        await pilot.press("tab", "enter")
        await until(pilot, shows(pilot, "A run goes on."))
    wish = {"guest": "web", "verb": "restore", "name": "clean"}
    assert office.bodies(f"POST {path}") == [wish]


async def test_all_snapshots_of_a_guest_die_after_the_servers_question(
    lab: Lab, office: Office
) -> None:
    path = "/testbeds/olive/lab/snapshots"
    guest = {"guest": "web", "host": "main", "status": "running", "observed_at": None}
    guest["snapshots"] = [snapshot("clean"), snapshot("later", "clean")]
    office.answers[f"GET {path}"] = (200, {"guests": [guest], "groups": []})
    asked = {**ERASES, "must_type": "", "kept": ["The disk stays."]}
    office.answers[f"POST {path}"] = (428, {"detail": "", "erases": asked})
    wish = {"guest": "web", "verb": "delete", "every": True}
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("3")
        await until(pilot, shows(pilot, "later (current)"))
        await pilot.press("down", "delete")
        await until(pilot, is_at(pilot, EraseQuestion))
        await until(pilot, shows(pilot, "The disk stays."))
        await pilot.press("escape")
        await until(pilot, shows(pilot, "Nothing was done."))
        await pilot.press("ctrl+p", *"all snapshots of db")
        await until(pilot, shows(pilot, "Delete all snapshots of db"))
        await pilot.press("down", "enter")
        await until(pilot, is_at(pilot, EraseQuestion))
        await pilot.press("escape")
    assert office.bodies(f"POST {path}") == [wish, wish | {"guest": "db"}]


async def test_help_shows_the_keys_of_the_screen(lab: Lab) -> None:
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("question_mark")
        await until(pilot, is_at(pilot, HelpScreen))
        words = ("Up", "Exec", "Refresh", "Light/dark", "F2", "Ctrl+P", "Ctrl+]")
        await until(pilot, shows(pilot, *words))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, TestbedScreen)


async def test_palette_reaches_acts_and_testbeds(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.press("ctrl+p", *"open olive/lab")
        await until(pilot, shows(pilot, "Open olive/lab"))
        await pilot.press("down", "enter")
        await until(pilot, is_at(pilot, TestbedScreen))
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("ctrl+p", *"generate")
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await until(pilot, is_at(pilot, Question))
        await until(pilot, shows(pilot, "Generate artefacts of olive/lab."))


async def test_row_is_opened_by_a_click(lab: Lab) -> None:
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.click(DataTable, offset=(3, 1))
        await until(pilot, is_at(pilot, TestbedScreen))


async def test_colours_are_left_out_where_asked(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with TestbedApp(lab).run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, shows(pilot, "olive"))
        assert pilot.app.no_color
        theme = pilot.app.ansi_theme
        assert {tuple(theme.ansi_colors[n]) for n in range(16)} == {
            tuple(theme.foreground_color)
        }


async def test_console_without_a_terminal_names_the_command(lab: Lab) -> None:
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("o")
        await until(pilot, shows(pilot, "testbed console"))


async def test_console_that_fails_gives_the_terminal_back(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    @contextmanager
    def suspend() -> Iterator[None]:
        yield
        steps.append("resumed")  # not in `finally`: Textual's own has none, either

    def fail(*words: object) -> None:
        raise ConsoleEnded("No console gateway answers.", hint="Try again.")

    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        monkeypatch.setattr(pilot.app, "suspend", suspend)
        monkeypatch.setattr("testbed.client.tui.testbed.open_console", fail)
        await until(pilot, shows(pilot, "10.0.0.2"))
        await pilot.press("o")
        await until(pilot, lambda: steps)
        await until(pilot, shows(pilot, "No console gateway answers.", "Try again"))


async def test_ctrl_c_gives_up_the_console_that_connects_and_nothing_else(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_up = []

    def is_not_for_the_console(*_: object) -> None:
        """Do nothing: the handler of the tests would end all of them."""

    def connect(*words: object) -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            given_up.append(words)
            raise

    former = signal.signal(signal.SIGINT, is_not_for_the_console)
    try:
        async with TestbedApp(lab, "olive/lab").run_test(
            size=SMALL, notifications=True
        ) as pilot:
            monkeypatch.setattr(pilot.app, "suspend", nullcontext)
            monkeypatch.setattr("testbed.client.tui.testbed.open_console", connect)
            await until(pilot, shows(pilot, "10.0.0.2"))
            await pilot.press("o")
            await until(pilot, lambda: given_up)
            await pilot.press("2")
            await until(pilot, shows(pilot, "Started"))
            assert signal.getsignal(signal.SIGINT) is is_not_for_the_console
    finally:
        signal.signal(signal.SIGINT, former)


async def test_palette_reaches_snapshots_guests_and_runs_from_any_tab(
    lab: Lab, office: Office
) -> None:
    path = "/testbeds/olive/lab/snapshots"
    office.answers[f"GET {path}"] = (200, {"guests": [], "groups": []})
    async with TestbedApp(lab, "olive/lab").run_test(
        size=SMALL, notifications=True
    ) as pilot:
        await until(pilot, shows(pilot, "10.0.0.2"))
        offered = {words for words, _, _ in Keys(pilot.app.screen)._acts()}
        for words in (
            "Up",
            "Take a snapshot",
            "Restore the snapshot",
            "Delete the snapshot",
            "Command in web",
            "Console of db",
            "Watch run 7, up",
            "Light/dark",
        ):
            assert words in offered
        assert "Up of this folder" not in offered
        await pilot.press("ctrl+p", *"take a snap")
        await until(pilot, shows(pilot, "Take a snapshot"))
        await pilot.press("down", "enter")
        await until(pilot, shows(pilot, "Name of the new snapshot of all guests"))
        assert isinstance(pilot.app.screen, NameQuestion)


async def test_palette_of_a_run_has_its_acts_and_the_testbeds(
    lab: Lab, office: Office
) -> None:
    office.sockets.append(Socket())
    async with TestbedApp(lab).run_test(size=SMALL) as pilot:
        await until(pilot, shows(pilot, "olive"))
        await pilot.app.push_screen(RunScreen(lab, 7))
        offered = {words for words, _, _ in Keys(pilot.app.screen)._acts()}
        assert {"Cancel run", "Filter", "Board", "Open olive/lab", "Help"} <= offered
        office.sockets[0].put(None)
