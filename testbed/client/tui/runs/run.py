"""A run: its board, its live log with filters, and its honest state."""

import time
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from orchestration.amounts import duration
from testbed.client.board.shown import rendered
from testbed.client.rest.server import StartedRun
from testbed.client.tui.asking import Done, Lab, Refused, act
from testbed.client.tui.questions import Question
from testbed.client.tui.runs.following import Following
from testbed.client.tui.runs.log import LogView
from testbed.client.tui.runs.ring import MOST_LINES, Wanted
from testbed.client.tui.words import safe

LOOKS_PER_SECOND = 8
# Lines of a terminal that the board leaves to the log and the other parts.
_LOW = 30


class RunScreen(Screen[None]):
    """A run by its number; `started` is one whose plan has to be sent."""

    AUTO_FOCUS = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "cancel", "Cancel run"),
        Binding("space", "pause", "Pause/follow"),
        Binding("slash", "filter", "Filter"),
        Binding("b", "board", "Board"),
        Binding("escape", "unfilter", "Clear filter", show=False),
        Binding("q", "back", "Back"),
    ]
    DEFAULT_CSS = """
    RunScreen .heading { height: 1; padding: 0 1; background: $primary-muted;
        color: $text; text-style: bold; }
    RunScreen .heading.-failed { background: $error-muted; color: $text-error; }
    RunScreen .heading.-succeeded { background: $success-muted; color: $text-success; }
    RunScreen #problem { display: none; height: auto; max-height: 3; padding: 0 1;
        background: $error; color: $background; text-style: bold; }
    RunScreen #problem:nocolor { background: $surface; color: $foreground;
        text-style: bold reverse; }
    RunScreen #problem.-open { display: block; }
    RunScreen #board { height: auto; max-height: 60%; padding: 0 1; }
    RunScreen #filters { display: none; height: 1; }
    RunScreen #filters.-open { display: block; }
    RunScreen #filters Input { border: none; height: 1; width: 1fr; padding: 0 1; }
    RunScreen #place { height: 1; padding: 0 1; color: $text-muted;
        background: $panel; }
    """

    def __init__(
        self, lab: Lab, number: int, started: StartedRun | None = None
    ) -> None:
        super().__init__()
        self.lab = lab
        self.following = Following(lab, number, started)
        self._read = 0
        self._wanted = Wanted()
        self._began = time.monotonic()

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        yield Static(f"Run {self.following.number}", markup=False, classes="heading")
        yield Static("", markup=False, id="problem")
        yield Static("", markup=False, id="board")
        with Horizontal(id="filters"):
            yield Input(placeholder="Resource, as web-*", id="resource")
            yield Input(placeholder="Text", id="text")
        yield Static("", markup=False, id="place")
        yield LogView(MOST_LINES)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin to follow, and look a few times in a second."""
        self.following.start()
        self.set_interval(1 / LOOKS_PER_SECOND, self.look)

    def on_unmount(self) -> None:
        """Leave the run as it is."""
        self.following.stop()

    def look(self) -> None:
        """Show what came since the last look, however much it was."""
        self._tell_state()
        view = self.query_one(LogView)
        if view.is_following:
            lines, self._read = self.following.ring.after(self._read)
            wanted = [one for one in lines if self._wanted.takes(one)]
            if wanted:
                view.add(wanted)
            view.keep_end()
        self._tell_place(view)

    def action_pause(self) -> None:
        """Stop at these lines, or follow again."""
        view = self.query_one(LogView)
        view.is_following = not view.is_following
        if view.is_following:
            self._show_again()

    def on_log_view_paused(self) -> None:
        """Stay where the user scrolled to."""
        self.query_one(LogView).is_following = False

    def on_log_view_followed(self) -> None:
        """Follow again."""
        self.query_one(LogView).is_following = True
        self._show_again()

    def action_filter(self) -> None:
        """Type a filter; Tab leads from the resource to the text."""
        self.query_one("#filters").add_class("-open")
        self.query_one("#resource").focus()

    def action_unfilter(self) -> None:
        """Show all lines."""
        for box in self.query(Input):
            box.value = ""
        self.query_one("#filters").remove_class("-open")
        self.query_one(LogView).focus()

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        values = [
            self.query_one(f"#{name}", Input).value for name in ("resource", "text")
        ]
        self._wanted = Wanted(*map(str.strip, values))
        self._show_again()

    def on_input_submitted(self) -> None:
        """Go to the log; the filter stays."""
        self.query_one(LogView).focus()

    def action_board(self) -> None:
        """Show the log alone, or the board again."""
        board = self.query_one("#board")
        board.display = not board.display

    def action_back(self) -> None:
        """Return to the screen before."""
        self.app.pop_screen()

    def action_cancel(self) -> None:
        """Ask, and let the server cancel the run."""
        number = self.following.number
        if self.following.is_over or self.following.is_cancelling:
            self.notify(f"Run {number} is {self.following.state}.", markup=False)
            return
        words = f"Cancel run {number}?\nThe server stops what it does on the hosts."
        self.app.push_screen(Question(words, "Cancel the run"), self._cancel)

    def on_done(self, message: Done) -> None:
        """Go on after the server took the wish."""
        message.go_on(self.post_message)

    def on_refused(self, message: Refused) -> None:
        """Say why the run is not cancelled."""
        words = f"{message.problem.message}\n{message.problem.hint}".strip()
        self.notify(safe(words, 600), severity="error", timeout=12, markup=False)

    def _cancel(self, agrees: bool | None) -> None:
        if not agrees:
            return
        path = f"/runs/{self.following.number}/cancel"

        def taken(found: object) -> None:
            self.following.is_cancelling = True

        act(self.lab, lambda one: one.send("POST", path), self.post_message, taken)

    def _show_again(self) -> None:
        lines, self._read = self.following.ring.after(0)
        view = self.query_one(LogView)
        view.replace([one for one in lines if self._wanted.takes(one)])

    def _tell_state(self) -> None:
        following, room = self.following, 3 if self.size.height < _LOW else 8
        with following.lock:
            drawn = rendered(following.board, ended_shown=room, active_shown=room)
            self.query_one("#board", Static).update(drawn)
            state, board = following.state, following.board
            end = " ".join(one for one in (board.message, board.hint) if one)
        seconds = "" if following.is_over else f", {_seconds(self._began)} watched"
        head = self.query_one(".heading", Static)
        head.update(
            safe(
                f"Run {following.number}{following.title}: {state}{seconds}. {end}", 400
            )
        )
        head.set_class(state in ("failed", "interrupted"), "-failed")
        head.set_class(state == "succeeded", "-succeeded")
        problem = self.query_one("#problem", Static)
        problem.set_class(following.problem is not None, "-open")
        if found := following.problem:
            again = f"Tried again every {following.pause_s:.0f} s."
            words = (found.message, found.hint, again if following.pause_s else "")
            problem.update(safe(" ".join(filter(None, words)), 400))

    def _tell_place(self, view: LogView) -> None:
        total = self.following.ring.total
        mode = "following" if view.is_following else f"paused, {total - self._read} new"
        kept = (
            f"Log: {total} lines"
            if total <= MOST_LINES
            else (f"Log: {total} lines, the last {MOST_LINES} kept")
        )
        wanted = self._wanted
        pieces = [kept, mode]
        if wanted:
            where = f"{wanted.resource or 'all'} | {wanted.text}".removesuffix(" | ")
            pieces.append(f"filter {safe(where, 60)}")
        self.query_one("#place", Static).update(", ".join(pieces))


def _seconds(began: float) -> str:
    return duration(time.monotonic() - began)
