"""Shows a run's frames: a board on a terminal, plain lines in a pipe, or JSON lines."""

import json
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from orchestration.amounts import count_of, duration
from testbed.client.board.model import Board, Line, Row
from testbed.client.screen import Screen
from testbed.client.watching import Frame

# More do not fit beside the instructions in a terminal of 24 lines.
ACTIVE_SHOWN = 6
ENDED_SHOWN = 8
FRAMES_PER_SECOND = 8
MARKS = {
    "done": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("-", "yellow"),
    "running": ("•", "cyan"),
}
ENDED = ("done", "failed", "cancelled")
STYLES = {"stderr": "yellow", "failed": "red", "warning": "yellow", "info": "dim"}


class Shown(Protocol):
    """Takes the frames of a run; `note` is a word of the client itself."""

    def live(self) -> AbstractContextManager[object]:
        """Show until left."""
        ...

    def show(self, frame: Frame) -> None:
        """Take a frame."""
        ...

    def note(self, text: str) -> None:
        """Say something beside the run."""
        ...


class LiveBoard:
    """Draws the board below the lines, and draws it anew as it changes."""

    def __init__(self, board: Board, console: Console | None = None) -> None:
        self._board = board
        self._console = console or Console(stderr=False)
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=FRAMES_PER_SECOND,
        )

    def live(self) -> AbstractContextManager[object]:
        """Draw until left; the last board stays."""
        return self._live

    def show(self, frame: Frame) -> None:
        """Take a frame, and print its lines above the board."""
        for line in self._board.take(frame):
            self._console.print(styled(line), soft_wrap=True)

    def note(self, text: str) -> None:
        """Print a word above the board."""
        self._console.print(Text(text, style="bold"), soft_wrap=True)

    def _render(self) -> RenderableType:
        return rendered(self._board)


class PlainLines:
    """Prints a line for each thing that happens."""

    def __init__(self, board: Board, out: TextIO | None = None) -> None:
        titles = tuple(
            {"index": row.index, "title": row.title} for row in board.rows.values()
        )
        self._screen = Screen(titles)
        self._out = out

    def live(self) -> AbstractContextManager[object]:
        """Print until left."""
        return nullcontext()

    def show(self, frame: Frame) -> None:
        """Print a frame; the run's end is printed by the command."""
        self._screen.show(frame)

    def note(self, text: str) -> None:
        """Print a word to standard error."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class JsonLines:
    """Prints each frame as one line of JSON, as the server sends it."""

    def live(self) -> AbstractContextManager[object]:
        """Print until left."""
        return nullcontext()

    def show(self, frame: Frame) -> None:
        """Print a frame."""
        sys.stdout.write(f"{json.dumps(frame)}\n")
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """Print a word to standard error."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def shown(board: Board, *, is_json: bool) -> Shown:
    """Return how a run is shown where standard output goes."""
    if is_json:
        return JsonLines()
    return LiveBoard(board) if sys.stdout.isatty() else PlainLines(board)


def styled(line: Line) -> Text:
    """Return a line of a guest or host behind its name."""
    text = Text()
    if line.resource:
        text.append(f"{line.resource} | ", style="bold")
    return text.append(line.text, style=STYLES.get(line.stream, ""))


def rendered(
    board: Board, *, ended_shown: int = ENDED_SHOWN, active_shown: int = ACTIVE_SHOWN
) -> Group:
    """Return the board: instructions that ended, the present one, and its tasks.

    Of those that ended, and of the tasks, at most as many lines are shown.
    """
    ended = [one for one in board.rows.values() if one.status in ENDED]
    running = [row for row in board.rows.values() if row.status == "running"]
    waiting = sum(row.status == "waiting" for row in board.rows.values())
    parts = [Text("")]
    if hidden := len(ended[:-ended_shown]):
        parts.append(Text(f"✓ {count_of(hidden, 'instruction')} before", style="green"))
    parts += [_row(row, board) for row in (*ended[-ended_shown:], *running)]
    active = sorted(board.active.items())
    for (resource, host), progress in active[:active_shown]:
        where = f" on {host}" if host and host != resource else ""
        parts.append(Text(f"    {resource}{where}  {progress}".rstrip(), style="dim"))
    if more := len(active[active_shown:]):
        parts.append(Text(f"    and {more} more", style="dim"))
    if board.note:
        parts.append(Text(f"    {board.note}", style="yellow"))
    if waiting and not board.status:
        parts.append(Text(f"  {count_of(waiting, 'instruction')} to come", style="dim"))
    return Group(*parts)


def _row(row: Row, board: Board) -> Text:
    mark, style = MARKS[row.status]
    text = Text(f"{mark} ", style=style).append(row.title, style="default")
    if row.status == "running":
        seconds = board.clock() - row.began_at
        text.append(f"  {row.ended} of {row.total}, {duration(seconds)}", style="dim")
    elif row.seconds:
        text.append(f"  {duration(row.seconds)}", style="dim")
    if row.failed:
        text.append(f"  {row.failed} failed", style="red")
    return text
