"""A command in guests: its answers folded, equal ones once."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import Screen
from textual.widgets import Footer, Input, Static, Tree

from testbed.client.rest.addresses import path_of
from testbed.client.rest.server import Server, StartedRun
from testbed.client.tui.asking import Done, Lab, Refused, act
from testbed.client.tui.runs.following import Following
from testbed.client.tui.words import BAD, GOOD, cell, safe
from testbed.client.watching import Frame

# Of one answer; the whole is on the run's page and in `testbed exec`.
MOST_LINES = 500
_WELL = ("done", "unchanged", "warning")
_TIMEOUT_S = 3600


class ExecScreen(Screen[None]):
    """Guests, a line for their shell, and the answers."""

    AUTO_FOCUS = "#line"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "run", "Run"),
        # A field would erase the rest of its line.
        Binding("ctrl+k", "cancel", "Cancel", priority=True),
        Binding("escape", "back", "Back"),
    ]
    DEFAULT_CSS = """
    ExecScreen .heading { height: 1; padding: 0 1; background: $primary-muted;
        color: $text; text-style: bold; }
    ExecScreen Horizontal { height: 3; }
    ExecScreen #guests { width: 26; }
    ExecScreen #line { width: 1fr; }
    ExecScreen #state { height: auto; max-height: 3; padding: 0 1; }
    ExecScreen Tree { height: 1fr; }
    """

    def __init__(self, lab: Lab, testbed: str, guests: str = "@all") -> None:
        super().__init__()
        self.lab = lab
        self._testbed = testbed
        self._guests = guests
        self.following: Following | None = None
        self._is_asked = False

    def compose(self) -> ComposeResult:
        """Yield the parts of the screen."""
        heading = f"Command in guests of {self._testbed}"
        yield Static(safe(heading, 200), markup=False, classes="heading")
        with Horizontal():
            yield Input(self._guests, placeholder="web-[0-3], @all", id="guests")
            yield Input(placeholder="A line for /bin/sh", id="line")
        yield Static("Enter runs it.", markup=False, id="state")
        tree: Tree[None] = Tree("Answers")
        tree.show_root = False
        yield tree
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Look a few times in a second."""
        self.set_interval(1 / 4, self._look)

    def on_unmount(self) -> None:
        """Leave the run as it is."""
        if self.following:
            self.following.stop()

    def on_input_submitted(self) -> None:
        """Run the line."""
        self.action_run()

    def action_run(self) -> None:
        """Start the command, unless another one goes on."""
        line = self.query_one("#line", Input).value.strip()
        if not line or (self.following and not self.following.is_over):
            self.notify("Write a line, or wait for the answers.", markup=False)
            return
        wish = {
            "form": "shell",
            "words": [line],
            "selection": self.query_one("#guests", Input).value.strip(),
            "conditions": {"timeout_s": _TIMEOUT_S},
        }
        path = path_of(self._testbed, "exec")
        self._say("Starting…")
        self._act(lambda server: server.start(path, wish), self._follow)

    def action_cancel(self) -> None:
        """Let the server cancel the command."""
        if self.following and not self.following.is_over:
            path = f"/runs/{self.following.number}/cancel"
            self._act(lambda server: server.send("POST", path), self._cancelling)

    def action_back(self) -> None:
        """Return to the testbed; the run goes on."""
        self.app.pop_screen()

    def on_done(self, message: Done) -> None:
        """Go on after an act."""
        message.go_on(self.post_message)

    def on_refused(self, message: Refused) -> None:
        """Say why it was not done."""
        problem = message.problem
        self._say(f"{problem.message} {problem.hint}".strip())

    def _act(self, work: object, then: object) -> None:
        act(self.lab, work, self.post_message, then)  # type: ignore[arg-type]  # both take Any

    def _follow(self, run: StartedRun) -> None:
        self.query_one(Tree).clear()
        self._is_asked = False
        self.following = Following(self.lab, run.number, run)
        self.following.start()

    def _cancelling(self, found: object) -> None:
        if self.following:
            self.following.is_cancelling = True

    def _look(self) -> None:
        """Say how the command does, and fetch the answers at its end."""
        following = self.following
        if following is None or self._is_asked:
            return
        if not following.is_over:
            problem = following.problem
            more = f" {problem.message}" if problem else ""
            self._say(f"Run {following.number}: {following.state}.{more}")
            return
        self._is_asked = True
        path = f"/runs/{following.number}/answers"

        def fetched(server: Server) -> Frame:
            return server.get(path)

        self._act(fetched, self._show)

    def _show(self, answers: Frame) -> None:
        """Show each different answer once, those that went wrong first and open."""
        tree: Tree[None] = self.query_one(Tree)
        tree.clear()
        for block in sorted(answers["blocks"], key=lambda one: one["status"] in _WELL):
            is_well = block["status"] in _WELL
            node = tree.root.add(
                _title(block), expand=not is_well or block["count"] == 1
            )
            texts = [
                cell(text, 2000, style="" if stream == "stdout" else "yellow")
                for stream, text in block["output"][:MOST_LINES]
            ]
            if hidden := len(block["output"]) - len(texts):
                texts.append(cell(f"and {hidden} lines more", style="dim"))
            for said in (block["message"], block["hint"]):
                if said and not is_well:
                    texts.append(cell(said, 400, style=BAD))
            for text in texts:
                node.add_leaf(text)
            node.allow_expand = bool(texts)
        tree.root.expand()
        words = f"Run {answers['run']} {answers['status']}. {answers['message']}"
        self._say(words.strip())
        tree.focus()

    def _say(self, words: str) -> None:
        self.query_one("#state", Static).update(safe(words, 400))


def _title(block: Frame) -> Text:
    count = f" ({block['count']})" if block["count"] > 1 else ""
    code = block["exit_code"]
    end = f", exit code {code}" if code is not None else f", {block['status']}"
    style = GOOD if block["status"] in _WELL else BAD
    return cell(f"{block['folded']}{count}{end}", 200, style=style)
