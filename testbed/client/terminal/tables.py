"""Prints lists and words: a table for a person, lines for a pipe, JSON for a program.

Guests and other users wrote much of it: it is printed without terminal codes.
"""

import json
import shutil
import sys
from codecs import iterdecode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.terminal import plain, plain_lines
from testbed.client.terminal.lazy import loaded
from testbed.client.terminal.options import Settings

Row = Sequence[object]


@dataclass(frozen=True, slots=True)
class Listing:
    """How a list of the API is printed: its heads, those of `-o wide`, and its rows.

    `row` returns all cells of an item; `empty` is said where there is none.
    """

    columns: Sequence[str]
    row: Callable[[Any], Row]
    empty: str
    wide: Sequence[str] = ()

    def show(
        self, items: Sequence[Any], chosen: Settings, *, whole: object = None
    ) -> None:
        """Print items as a table, or as JSON; of `whole`, where more belongs to it."""
        if chosen.is_json:
            print_json({"items": list(items)} if whole is None else whole)
            return
        columns = (*self.columns, *(self.wide if chosen.is_wide else ()))
        rows = [self.row(item)[: len(columns)] for item in items]
        print_table(columns, rows, empty=self.empty)


def say(text: str) -> None:
    """Print one line about what was done, beside the results."""
    sys.stderr.write(f"{plain(text)}\n")
    sys.stderr.flush()


def say_in_place(text: str, *, is_last: bool) -> None:
    """Print a line on a terminal in place of the one before; the last one stays."""
    shown = plain(text)[: max(1, shutil.get_terminal_size().columns - 1)]
    sys.stderr.write(f"\r{shown}\x1b[K{chr(10) if is_last else ''}")
    sys.stderr.flush()


def print_json(value: object) -> None:
    """Print JSON as a result."""
    sys.stdout.write(f"{json.dumps(value, indent=1)}\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as a result."""
    for line in lines:
        sys.stdout.write(f"{plain(line)}\n")


def print_content(pieces: Iterable[bytes]) -> None:
    """Print a file as a result: a pipe gets it as it is, a terminal the text alone."""
    if sys.stdout.isatty():
        for text in iterdecode(pieces, "utf-8", errors="replace"):
            sys.stdout.write(plain_lines(text))
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def print_table(columns: Sequence[str], rows: Iterable[Row], *, empty: str) -> None:
    """Print rows below their heads; `empty` is said where there are none.

    A pipe gets the columns apart by tabs, without heads.
    """
    # A tab within a cell would make two of it.
    texts = [[plain(str(cell)).replace("\t", " ") for cell in row] for row in rows]
    if not texts:
        say(empty)
    elif not sys.stdout.isatty():
        for row in texts:
            sys.stdout.write("\t".join(row) + "\n")
    else:
        _draw_table(columns, texts)


def _draw_table(columns: Sequence[str], texts: Iterable[Sequence[str]]) -> None:
    text = loaded("rich.text").Text
    table = loaded("rich.table").Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in texts:
        table.add_row(*map(text, row))
    loaded("rich.console").Console().print(table)
