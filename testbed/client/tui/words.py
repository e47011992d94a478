"""Texts of the server and of guests as cells and lines: no markup, no terminal codes."""

from datetime import UTC, datetime

from rich.text import Text

from orchestration.terminal import plain

MOST_CELL = 60
MOST_LINE = 2_000
GOOD, BAD, BUSY = "green", "red", "cyan"
_COLOURS = {
    "up": GOOD,
    "running": GOOD,
    "succeeded": GOOD,
    "failed": BAD,
    "crashed": BAD,
    "interrupted": BAD,
    "unknown": "yellow",
    "cancelled": "yellow",
}


def safe(value: object, most: int = MOST_LINE) -> str:
    """Return a text of one line as displayed, cut to `most` characters."""
    text = plain(str(value)).replace("\t", "    ")
    return text if len(text) <= most else f"{text[: most - 1]}…"


def cell(value: object, most: int = MOST_CELL, *, style: str = "") -> Text:
    """Return a value as a cell of a table."""
    return Text(safe(value, most), style=style, no_wrap=True, end="")


def status_cell(status: str) -> Text:
    """Return a condition or status, coloured; its word says the same."""
    return cell(status, style=_COLOURS.get(status.partition(" ")[0], ""))


def moment(value: str | None) -> str:
    """Return a time of the API in the terminal's own zone; without the date of today."""
    if not value:
        return "never"
    found = datetime.fromisoformat(value).astimezone()
    today = datetime.now(UTC).astimezone().date()
    return f"{found:%H:%M:%S}" if found.date() == today else f"{found:%Y-%m-%d %H:%M}"
