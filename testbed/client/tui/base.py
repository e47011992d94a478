"""A screen that asks the server: what it shows, since when, and what went wrong."""

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.screen import Screen
from textual.widgets import DataTable, Footer, Static

from orchestration.errors import TestbedError
from testbed.client.rest.problems import OTHER_SHAPE, Declined
from testbed.client.rest.server import Server
from testbed.client.terminal.exits import findings_of
from testbed.client.tui.asking import (
    Asks,
    Done,
    Lab,
    Lost,
    Poll,
    Refused,
    Seen,
    Told,
    act,
    problem_in,
)
from testbed.client.tui.questions import EraseQuestion, Notice
from testbed.client.tui.words import safe

# An answer older than this is marked, even while the next one is awaited.
OLD_S = 10.0
Rows = dict[str, tuple[Text, ...]]


class StateLine(Static):
    """When the server was last seen; a banner with the reason while it is away."""

    DEFAULT_CSS = """
    StateLine { height: auto; max-height: 3; padding: 0 1; color: $text-muted; }
    StateLine.-lost { background: $error; color: $background; text-style: bold; }
    StateLine.-lost:nocolor { background: $surface; color: $foreground;
        text-style: bold reverse; }
    StateLine.-old { background: $warning-muted; color: $text-warning; }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._at = 0.0
        self._problem: TestbedError | None = None
        self._again_at = 0.0
        self._passing = ""

    def on_mount(self) -> None:
        """Count the seconds."""
        self.set_interval(1, self.tell)
        self.tell()

    def seen(self, at: float) -> None:
        """Take the time of an answer."""
        self._at, self._problem = at, None
        self.tell()

    def lost(self, problem: TestbedError, pause_s: float) -> None:
        """Take a failure, and when the server is asked again."""
        self._problem = problem
        self._again_at = time.monotonic() + pause_s
        self.tell()

    def pass_on(self, words: str) -> None:
        """Say how an act does, until there is nothing to say about it."""
        self._passing = words
        self.tell()

    def tell(self) -> None:
        """Say how it is."""
        age_s = time.time() - self._at
        self.set_class(self._problem is not None, "-lost")
        self.set_class(bool(self._at) and not self._problem and age_s > OLD_S, "-old")
        self.update(safe(self._passing, 200) or self._words(age_s))

    def _words(self, age_s: float) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(self._at))
        if problem := self._problem:
            left = max(0, round(self._again_at - time.monotonic()))
            again = f"Asked again in {left} s." if left else "Asking again."
            old = f"Shown is what was seen at {clock}." if self._at else ""
            words = (problem.message, old, again, problem.hint)
            return " ".join(safe(one, 300) for one in words if one)
        if not self._at:
            return "Asking the server…"
        if age_s > OLD_S:
            return f"Seen at {clock}, {age_s:.0f} s ago. The server is being asked."
        return f"Seen at {clock}"


class LabScreen(Screen[None]):
    """A screen that is asked for in a thread; `fetch` runs there, `show` here."""

    HEADING = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "ask_now", "Refresh", show=False),
    ]
    DEFAULT_CSS = """
    LabScreen .heading { height: 1; padding: 0 1; background: $primary-muted;
        color: $text; text-style: bold; }
    LabScreen DataTable, LabScreen TabbedContent { height: 1fr; }
    LabScreen ContentSwitcher, LabScreen TabPane { height: 1fr; padding: 0; }
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__()
        self.lab = lab
        self._poll = Poll(lab, self.fetch, self.post_message)

    def body(self) -> ComposeResult:
        """Yield what stands between the heading and the line of state."""
        raise NotImplementedError

    def fetch(self, server: Server) -> Any:
        """Return what is shown. Runs in a thread. Raises: TestbedError."""
        raise NotImplementedError

    def show(self, found: Any) -> None:
        """Show what was fetched."""
        raise NotImplementedError

    def offers(self) -> Iterator[tuple[str, str]]:
        """Yield what the palette finds besides the keys: words, and the action."""
        yield from ()

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Static(self.HEADING, markup=False, classes="heading")
        yield from self.body()
        yield StateLine()
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin to ask."""
        self._poll.start()

    def on_unmount(self) -> None:
        """Ask no more."""
        self._poll.stop()

    def on_screen_suspend(self) -> None:
        """Ask nothing while another screen is shown."""
        self._poll.show(False)

    def on_screen_resume(self) -> None:
        """Ask again."""
        self._poll.show(True)

    def action_ask_now(self) -> None:
        """Ask at once."""
        self._poll.ask_now()

    def action_back(self) -> None:
        """Return to the screen before."""
        self.app.pop_screen()

    def heading(self, words: str) -> None:
        """Write the first line."""
        self.query_one(".heading", Static).update(safe(words, 300))

    def on_seen(self, message: Seen) -> None:
        """Show an answer, unless it has another shape than the screen can show."""
        line = self.query_one(StateLine)
        try:
            self.show(message.value)
        except OTHER_SHAPE as exc:
            line.lost(problem_in(exc), self.lab.every_s)
        else:
            line.seen(message.at)

    def on_lost(self, message: Lost) -> None:
        """Say that the server is away; what is shown stays."""
        self.query_one(StateLine).lost(message.problem, message.pause_s)

    def act(
        self,
        work: Callable[[Server], Any],
        then: Callable[[Any], None],
        otherwise: Callable[[], None] = lambda: None,
    ) -> None:
        """Do something on the server, in a thread; `then` gets the result."""
        act(self.lab, work, self.post_message, then, otherwise)

    def on_done(self, message: Done) -> None:
        """Go on after an act."""
        self.query_one(StateLine).pass_on("")
        message.go_on(self.post_message)
        self._poll.ask_now()

    def on_refused(self, message: Refused) -> None:
        """Say why an act was not done."""
        self.query_one(StateLine).pass_on("")
        message.otherwise()
        problem = message.problem
        if isinstance(problem, Declined):
            self.notify("Nothing was done.", markup=False)
            return
        if lines := details_of(problem):
            words = "\n".join((problem.message, *lines, problem.hint))
            self.app.push_screen(Notice(words))
            return
        self.warn(problem)

    def warn(self, problem: TestbedError) -> None:
        """Show the sentence and the hint of a problem for a while."""
        words = f"{safe(problem.message, 400)}\n{safe(problem.hint, 300)}".strip()
        self.notify(words, severity="error", timeout=12, markup=False)

    def on_told(self, message: Told) -> None:
        """Say how an act does, or what it has done."""
        if message.is_passing:
            self.query_one(StateLine).pass_on(message.words)
        else:
            self.notify(safe(message.words, 300), markup=False)

    def on_asks(self, message: Asks) -> None:
        """Ask about what an act erases."""
        question = EraseQuestion(message.lines, message.name)
        self.app.push_screen(question, message.answer)


def details_of(problem: TestbedError) -> list[str]:
    """Return the lines of a problem that has more than a sentence: files, findings."""
    lines = problem.detail.splitlines()
    for one in findings_of(problem):
        place = f"line {one['line']}:{one['column']}"
        lines.append(f"  {place} {one['severity']}: {one['message']}")
    return lines


def fill(table: DataTable[Text], rows: Rows) -> None:
    """Show rows by their keys; the cursor stays on its row, as far as it is there."""
    _fit(table, rows)
    shown = [str(key.value) for key in table.rows]
    if shown == list(rows):
        for at, row in enumerate(rows.values()):
            for column, value in enumerate(row):
                place = Coordinate(at, column)
                if table.get_cell_at(place) != value:
                    table.update_cell_at(place, value)
        return
    chosen, top = chosen_key(table), table.scroll_y
    table.clear()
    for key, row in rows.items():
        table.add_row(*row, key=key)
    if chosen in rows:
        table.move_cursor(row=list(rows).index(chosen), scroll=False)
        table.scroll_to(y=top, animate=False)


def _fit(table: DataTable[Text], rows: Rows) -> None:
    """Make each column as wide as its texts.

    The table itself measures them when it has nothing else to do, and keeps for ever what
    it painted before that.
    """
    for at, column in enumerate(table.ordered_columns):
        texts = [column.label, *(row[at] for row in rows.values())]
        column.auto_width = False
        column.width = max(text.cell_len for text in texts)


def chosen_key(table: DataTable[Text]) -> str:
    """Return the key of the row with the cursor; "" in an empty table."""
    if not table.row_count:
        return ""
    return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)
