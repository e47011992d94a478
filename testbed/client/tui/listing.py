"""The list of testbeds: filtered as it is typed, refreshed every few seconds."""

from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Input

from testbed.client.rest.server import Server
from testbed.client.tui.asking import Lab
from testbed.client.tui.base import LabScreen, Rows, chosen_key, fill
from testbed.client.tui.runs.run import RunScreen
from testbed.client.tui.starting import ask_to_start
from testbed.client.tui.testbed import TestbedScreen
from testbed.client.tui.words import cell, safe, status_cell
from testbed.client.watching import OVER, Frame

COLUMNS = ("Testbed", "Owner", "Condition", "Guests up", "Running now")


class _Table(DataTable[Text]):
    """A table that names its key in the last line; Textual's own hides it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select_cursor", "Open", key_display="Enter")
    ]


class ListingScreen(LabScreen):
    """All testbeds that the user sees."""

    AUTO_FOCUS = "DataTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "watch", "Watch its run"),
        Binding("u", "up_folder", "Up of this folder"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "clear", "Clear filter", show=False),
        Binding("q", "app.quit", "Quit"),
    ]
    DEFAULT_CSS = """
    ListingScreen Input { display: none; }
    ListingScreen Input, ListingScreen Input:focus { border: none; height: 1; }
    ListingScreen Input.-open { display: block; }
    """

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.HEADING = f"Testbeds at {safe(lab.url, 200)}"
        self.testbeds: dict[str, Frame] = {}
        self._rows: Rows = {}

    def body(self) -> ComposeResult:
        """Yield the filter and the table."""
        yield Input(placeholder="Name, owner or condition", id="filter")
        table = _Table(cursor_type="row", zebra_stripes=True)
        table.add_columns(*COLUMNS)
        yield table

    def fetch(self, server: Server) -> list[Frame]:
        """Return all testbeds."""
        return list(server.pages("/testbeds"))

    def show(self, found: Any) -> None:
        """Show the testbeds that the filter leaves."""
        rows = {one["testbed"]: _row(one) for one in found}
        self.testbeds, self._rows = {one["testbed"]: one for one in found}, rows
        self._fill()

    def action_open(self) -> None:
        """Open the testbed under the cursor."""
        if name := chosen_key(self.query_one(DataTable)):
            self.app.push_screen(TestbedScreen(self.lab, name))

    def action_watch(self) -> None:
        """Open the run that goes on, or the last one."""
        name = chosen_key(self.query_one(DataTable))
        run = self.testbeds[name]["last_run"] if name else None
        if run is None:
            self.notify("This testbed has no run.", markup=False)
            return
        self.app.push_screen(RunScreen(self.lab, run["run"]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the folder's own Up only in a folder with a YAML."""
        return action != "up_folder" or self.lab.place is not None

    def action_up_folder(self) -> None:
        """Bring the testbed of the present folder up, and make it where it is not."""
        if self.lab.place:
            ask_to_start(self, self.lab.place.testbed, "up")

    def on_data_table_row_selected(self) -> None:
        """Open a testbed by Enter or a click."""
        self.action_open()

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(Input).add_class("-open").focus()

    def action_clear(self) -> None:
        """Show all testbeds."""
        box = self.query_one(Input)
        box.value = ""
        box.remove_class("-open")
        self.query_one(DataTable).focus()

    def on_input_changed(self) -> None:
        """Filter as it is typed."""
        self._fill()

    def on_input_submitted(self) -> None:
        """Go to the table."""
        self.query_one(DataTable).focus()

    def _fill(self) -> None:
        wish = self.query_one(Input).value.lower().split()
        rows = {
            name: row
            for name, row in self._rows.items()
            if all(
                word in f"{name} {self.testbeds[name]['condition']}".lower()
                for word in wish
            )
        }
        fill(self.query_one(DataTable), rows)
        count = f"{len(rows)} of {len(self.testbeds)}" if wish else f"{len(rows)}"
        self.heading(f"Testbeds at {self.lab.url}: {count}")


def _row(one: Frame) -> tuple[Text, ...]:
    return (
        cell(one["name"], 28),
        cell(one["account"], 16),
        status_cell(one["condition"]),
        cell(f"{one['guests_up']}/{one['guests']}"),
        status_cell(running_now(one["last_run"])),
    )


def running_now(run: Frame | None) -> str:
    """Return the command that goes on and how far it is; "" of one that is over."""
    if run is None or run["status"] in OVER:
        return ""
    percent = "" if run["percent"] is None else f" {run['percent']} %"
    state = "" if run["status"] == "running" else f" {run['status']}"
    return f"{run['name']}{state}{percent}"
