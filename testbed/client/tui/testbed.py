"""A testbed: its guests as last observed, its runs, and the commands that start one."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, TabbedContent, TabPane

from orchestration.errors import TestbedError
from testbed.client.board.model import name_of_run
from testbed.client.console import Ends, open_console
from testbed.client.rest.addresses import path_of
from testbed.client.rest.server import Server, StartedRun
from testbed.client.tui.asking import Lab, problem_in
from testbed.client.tui.base import LabScreen, chosen_key, fill
from testbed.client.tui.execution import ExecScreen
from testbed.client.tui.runs.run import RunScreen
from testbed.client.tui.snapshots import SnapshotTree, deletes_all
from testbed.client.tui.starting import ask_to_start
from testbed.client.tui.words import cell, moment, safe, status_cell
from testbed.client.watching import Frame

GUESTS = ("Guest", "Status", "Observed", "Host", "Addresses")
RUNS = ("Run", "Command", "Status", "By", "Started")
MOST_RUNS = 100
RUNS_OFFERED = 20


class TestbedScreen(LabScreen):
    """One testbed, by its full name."""

    __test__ = False  # pytest: the name starts with Test

    AUTO_FOCUS = "#guests-table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "start('up')", "Up"),
        Binding("d", "start('down')", "Down"),
        Binding("g", "start('generate-artefacts')", "Generate artefacts", show=False),
        Binding("c", "start('clear-artefacts')", "Delete disks", show=False),
        Binding("x", "exec", "Exec"),
        Binding("o", "console", "Console"),
        Binding("w", "watch", "Watch"),
        Binding("1", "tab('guests')", "Guests", show=False),
        Binding("2", "tab('runs')", "Runs", show=False),
        Binding("3", "tab('snapshots')", "Snapshots", show=False),
        Binding("escape,q", "back", "Back", key_display="q"),
    ]

    def __init__(self, lab: Lab, name: str) -> None:
        super().__init__(lab)
        self.testbed_name = name
        self.HEADING = safe(name, 200)
        self._runs: list[Frame] = []
        self._guests: tuple[str, ...] = ()
        self._tab = "guests"

    def body(self) -> ComposeResult:
        """Yield the three tabs."""
        with TabbedContent(initial="guests"):
            for name, title, columns in (
                ("guests", "1 Guests", GUESTS),
                ("runs", "2 Runs", RUNS),
            ):
                with TabPane(title, id=name):
                    table: DataTable[Text] = DataTable(
                        cursor_type="row", zebra_stripes=True, id=f"{name}-table"
                    )
                    table.add_columns(*columns)
                    yield table
            with TabPane("3 Snapshots", id="snapshots"):
                yield SnapshotTree()

    def fetch(self, server: Server) -> Frame:
        """Return the testbed, its guests and runs, and snapshots while they are shown."""
        path = path_of(self.testbed_name)
        found = server.get(path)
        found["guest_list"] = list(server.pages(f"{path}/guests"))
        found["runs"] = server.get(f"{path}/runs", per_page=MOST_RUNS)["items"]
        if self._tab == "snapshots":
            found["snapshots"] = server.get(f"{path}/snapshots")
        return found

    def show(self, found: Any) -> None:
        """Show the testbed."""
        up = f"{found['guests_up']} of {found['guests']} guests up"
        ends = f", ends {moment(found['ends_at'])}" if found["ends_at"] else ""
        role = f", you: {found['role']}" if found["role"] else ""
        self.heading(f"{found['testbed']}: {found['condition']}, {up}{ends}{role}")
        self._runs = found["runs"]
        guests = {one["guest"]: _guest_row(one) for one in found["guest_list"]}
        self._guests = tuple(guests)
        fill(self.query_one("#guests-table", DataTable), guests)
        runs = {str(one["run"]): _run_row(one) for one in self._runs}
        fill(self.query_one("#runs-table", DataTable), runs)
        if "snapshots" in found:
            self.query_one(SnapshotTree).show(found["snapshots"])

    def action_tab(self, name: str) -> None:
        """Show a tab."""
        self.query_one(TabbedContent).active = name

    def on_tabbed_content_tab_activated(
        self, event: TabbedContent.TabActivated
    ) -> None:
        """Go into the tab that was chosen."""
        self._tab = str(event.pane.id)
        event.pane.query("DataTable, SnapshotTree").first().focus()
        self.action_ask_now()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Open a run; a guest is chosen for a command."""
        key = str(event.row_key.value)
        if event.data_table.id == "runs-table":
            self.app.push_screen(RunScreen(self.lab, int(key)))
        else:
            self.app.push_screen(ExecScreen(self.lab, self.testbed_name, key))

    def offers(self) -> Iterator[tuple[str, str]]:
        """Yield the acts on each guest, and the newest runs."""
        for guest in self._guests:
            yield f"Command in {guest}", f"exec({guest!r})"
            yield f"Console of {guest}", f"console({guest!r})"
            yield f"Delete all snapshots of {guest}", f"delete_all({guest!r})"
        for run in self._runs[:RUNS_OFFERED]:
            yield f"Watch run {run['run']}, {run['name']}", f"open_run({run['run']})"

    def action_open_run(self, number: int) -> None:
        """Open a run by its number."""
        self.app.push_screen(RunScreen(self.lab, number))

    def action_watch(self) -> None:
        """Open the run that is chosen, else the newest one."""
        table = self.query_one("#runs-table", DataTable)
        if self._tab == "runs" and (key := chosen_key(table)):
            self.app.push_screen(RunScreen(self.lab, int(key)))
        elif self._runs:
            self.app.push_screen(RunScreen(self.lab, self._runs[0]["run"]))
        else:
            self.notify("This testbed has no run.", markup=False)

    def action_exec(self, guests: str = "@all") -> None:
        """Run a command in guests."""
        self.app.push_screen(ExecScreen(self.lab, self.testbed_name, guests))

    def action_console(self, guest: str = "") -> None:
        """Leave the terminal to a guest's serial console; the chosen one's else."""
        guest = guest or chosen_key(self.query_one("#guests-table", DataTable))
        if not guest:
            self.notify("Choose a guest first.", markup=False)
            return
        try:
            with self.app.suspend():
                problem = self._problem_in_console(guest)
        except SuspendNotSupported:
            self.notify("Here only `testbed console` can do that.", markup=False)
            return
        if problem:
            self.warn(problem)

    def _problem_in_console(self, guest: str) -> TestbedError | None:
        """Keep a guest's console open until one of both leaves; return what went wrong.

        Nothing is raised: Textual takes the terminal back only after a normal end. Until
        the console is open, Ctrl+C gives it up.
        """
        try:
            with _interrupts(), self.lab.server() as server:
                open_console(server, self.testbed_name, guest, Ends())
        except KeyboardInterrupt:
            return None
        except Exception as exc:  # noqa: BLE001  # the terminal would stay dead
            return problem_in(exc)
        return None

    def action_start(self, command: str) -> None:
        """Ask whether to start a command, and its options."""
        ask_to_start(self, self.testbed_name, command)

    def action_delete_all(self, guest: str) -> None:
        """Delete all snapshots of a guest, after the server's question."""
        self.run_command("snapshots", deletes_all(guest))

    def on_snapshot_tree_wish(self, message: SnapshotTree.Wish) -> None:
        """Act on a snapshot."""
        self.run_command("snapshots", message.body)

    def run_command(self, where: str, wish: dict[str, object]) -> None:
        """Start a run, and open it; the server may ask first about what dies."""
        path = path_of(self.testbed_name, where)

        def opened(run: StartedRun) -> None:
            self.app.push_screen(RunScreen(self.lab, run.number, run))

        self.act(lambda server: server.start(path, wish), opened)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let Ctrl+C raise here; asyncio's own handler would end the whole interface."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def _guest_row(one: Frame) -> tuple[Text, ...]:
    addresses = [each["address"] for each in one["addresses"] if each["address"]]
    state = one["status"] + (" by request" if one["by_request"] else "")
    return (
        cell(one["guest"], 24),
        status_cell(state),
        cell(moment(one["observed_at"])),
        cell(one["host"], 16),
        cell(", ".join(addresses), 80),
    )


def _run_row(one: Frame) -> tuple[Text, ...]:
    percent = "" if one["percent"] is None else f" {one['percent']} %"
    return (
        cell(one["run"]),
        cell(name_of_run(one), 40),
        status_cell(f"{one['status']}{percent}"),
        cell(one["asked_by"], 16),
        cell(moment(one["created_at"])),
    )
