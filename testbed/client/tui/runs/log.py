"""The view of a log: draws the lines that are visible, however many come."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from testbed.client.board.model import Line

_STREAMS = {"stderr": "warning", "warning": "warning", "failed": "failed"}


class LogView(ScrollView, can_focus=True):
    """Lines behind their resources. Scrolled up, it stays; at its end, it follows."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--resource",
        "log--warning",
        "log--failed",
        "log--info",
    }
    DEFAULT_CSS = """
    LogView { height: 1fr; background: $surface; }
    LogView > .log--resource { color: $text-primary; text-style: bold; }
    LogView > .log--warning { color: $text-warning; }
    LogView > .log--failed { color: $text-error; text-style: bold; }
    LogView > .log--info { color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("end,G", "follow", "Follow", show=False),
    ]

    class Paused(Message):
        """The user scrolled away from the end."""

    class Followed(Message):
        """The user went to the end."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._lines: list[Line] = []
        self._width = 0
        self.is_following = True

    @property
    def texts(self) -> list[str]:
        """The lines as shown."""
        return [f"{line.resource} | {line.text}" for line in self._lines]

    def add(self, lines: Sequence[Line]) -> None:
        """Show lines below those that are there."""
        self._lines += lines
        if len(self._lines) > self._most:
            del self._lines[: -self._most]
        longest = max((_length(line) for line in lines), default=0)
        self._width = max(self._width, longest)
        self.virtual_size = Size(self._width, len(self._lines))
        self.keep_end()
        self.refresh()

    def keep_end(self) -> None:
        """Scroll to the end while it is followed, also after a change of size."""
        if self.is_following and self.scroll_y < self.max_scroll_y:
            self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def replace(self, lines: Sequence[Line]) -> None:
        """Show these lines alone."""
        self._lines, self._width = [], 0
        self.add(lines)

    def action_follow(self) -> None:
        """Go to the end, and follow."""
        self.post_message(self.Followed())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Pause when the user scrolls up."""
        super().watch_scroll_y(old_value, new_value)
        if (
            self.is_following
            and new_value < old_value
            and new_value < self.max_scroll_y
        ):
            self.post_message(self.Paused())

    def render_line(self, y: int) -> Strip:
        """Return one line of the screen."""
        left, top = self.scroll_offset
        width, base = self.size.width, self.rich_style
        if top + y >= len(self._lines):
            return Strip.blank(width, base)
        line = self._lines[top + y]
        pieces = []
        if line.resource:
            style = self.get_component_rich_style("log--resource")
            pieces.append(Segment(f"{line.resource} | ", style))
        part = "info" if line.stream == "info" else _STREAMS.get(line.stream, "")
        style = self.get_component_rich_style(f"log--{part}") if part else base
        pieces.append(Segment(line.text, style))
        return Strip(pieces).crop_extend(left, left + width, base)


def _length(line: Line) -> int:
    return cell_len(line.text) + cell_len(line.resource) + 3
