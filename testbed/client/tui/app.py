"""The program: its screens, its palette that reaches every key, and its help."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from rich.table import Table
from rich.terminal_theme import TerminalTheme
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static, TabbedContent, TabPane

from testbed.client.tui.asking import Lab
from testbed.client.tui.base import LabScreen
from testbed.client.tui.listing import ListingScreen
from testbed.client.tui.testbed import TestbedScreen

DARK, LIGHT = "textual-dark", "textual-light"
_BLACK, _WHITE = (18, 18, 18), (224, 224, 224)
# Backgrounds of COLORFGBG, by which some terminals say that they are light.
_LIGHT = ("7", "15")
_SIGNS = {"question_mark": "?", "slash": "/", "escape": "Esc"}
_WORDS = """\
Tab goes from part to part, arrows and Page Up/Down move, Enter opens.
The mouse does the same: click a row, a tab, a button, a key of the last line.
A log is paused by Space or by scrolling up; End follows it again.
A guest's console takes the whole terminal; Ctrl+] leads back."""


class Keys(Provider):
    """All acts of the present screen, and all testbeds that were seen."""

    async def discover(self) -> Hits:
        """Yield everything."""
        for words, node, action in self._acts():
            yield DiscoveryHit(words, lambda n=node, a=action: self._do(n, a))

    async def search(self, query: str) -> Hits:
        """Yield what fits."""
        matcher = self.matcher(query)
        for words, node, action in self._acts():
            if (score := matcher.match(words)) > 0:
                yield Hit(
                    score,
                    matcher.highlight(words),
                    lambda n=node, a=action: self._do(n, a),
                )

    async def _do(self, node: DOMNode, action: str) -> None:
        if isinstance(node, Widget) and node is not self.screen:
            _bring_forward(node)
        await self.app.run_action(action, node)

    def _acts(self) -> Iterator[tuple[str, DOMNode, str]]:
        told = {"Commands"}
        nodes = [*nodes_of(self.screen), *self.screen.query("*")]
        for node, binding in bindings_of(nodes):
            words = binding.tooltip or binding.description
            if words not in told:
                told.add(words)
                yield words, node, binding.action
        if isinstance(self.screen, LabScreen):
            for words, action in self.screen.offers():
                yield words, self.screen, action
        for screen in self.app.screen_stack:
            if isinstance(screen, ListingScreen):
                for name in screen.testbeds:
                    yield f"Open {name}", self.app, f"open({name!r})"


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "app.pop_screen", "Close")
    ]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll { width: 78; max-width: 100%; height: auto;
        max-height: 100%; padding: 0 1; border: round $primary; background: $surface; }
    """

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._below = below

    def compose(self) -> ComposeResult:
        """Yield the table of keys."""
        table = Table.grid(padding=(0, 2))
        for _, binding in bindings_of(nodes_of(self._below)):
            keys = binding.key_display or binding.key.replace(",", ", ")
            table.add_row(Text(_key(keys), style="bold"), Text(binding.description))
        with VerticalScroll():
            yield Static(table)
            yield Static(Text(f"\n{_WORDS}"))


class TestbedApp(App[None]):
    """The whole interface; `testbed` is opened at once when it is named."""

    __test__ = False  # pytest: the name starts with Test

    TITLE = "testbed"
    COMMANDS: ClassVar = {Keys}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help"),
        Binding("ctrl+p", "command_palette", "Commands", show=False, priority=True),
        Binding("f2", "theme", "Light/dark", show=False),
        Binding("ctrl+q", "quit", "Quit", show=False, priority=True),
    ]

    def __init__(self, lab: Lab, testbed: str = "", *, is_light: bool = False) -> None:
        super().__init__()
        self.lab = lab
        self._testbed = testbed
        self.theme = LIGHT if is_light else DARK
        if self.no_color:  # greys of red and blue could not be read
            self.ansi_theme_dark = _of_one_colour(_BLACK, _WHITE)
            self.ansi_theme_light = _of_one_colour(_WHITE, _BLACK)

    def on_mount(self) -> None:
        """Open the list, and the testbed that was named."""
        self.push_screen(ListingScreen(self.lab))
        if self._testbed:
            self.push_screen(TestbedScreen(self.lab, self._testbed))

    def action_help(self) -> None:
        """Show the keys of this screen."""
        if not isinstance(self.screen, ModalScreen):
            self.push_screen(HelpScreen(self.screen))

    def action_theme(self) -> None:
        """Change between light and dark."""
        self.theme = LIGHT if self.theme == DARK else DARK

    def action_open(self, name: str) -> None:
        """Open a testbed by its full name."""
        self.push_screen(TestbedScreen(self.lab, name))


def nodes_of(screen: Screen[object]) -> list[DOMNode]:
    """Return the part that has the keys, the screen and the program."""
    focused = [screen.focused] if screen.focused else []
    return [*focused, screen, screen.app]


def bindings_of(nodes: Iterable[DOMNode]) -> Iterator[tuple[DOMNode, Binding]]:
    """Yield the keys of those parts that are of this program."""
    for node in nodes:
        for kind in type(node).__mro__:
            if kind.__module__.startswith("testbed."):
                for one in kind.__dict__.get("BINDINGS", ()):
                    if isinstance(one, Binding) and _is_offered(node, one):
                        yield node, one


def _bring_forward(part: Widget) -> None:
    """Show the tab that a part is in, and give it the keys."""
    for above in part.ancestors:
        if isinstance(above, TabPane):
            part.screen.query_one(TabbedContent).active = str(above.id)
    part.focus()


def _is_offered(node: DOMNode, binding: Binding) -> bool:
    action = binding.action.partition("(")[0].rpartition(".")[2]
    return node.check_action(action, ()) is not False


def is_light(environment: Mapping[str, str]) -> bool:
    """Return whether the terminal says that its background is light."""
    return environment.get("COLORFGBG", "").rpartition(";")[2] in _LIGHT


def show(lab: Lab, testbed: str) -> int:
    """Run the interface to its end; return the exit code."""
    app = TestbedApp(lab, testbed, is_light=is_light(os.environ))
    app.run()
    return app.return_code or 0


def _of_one_colour(
    background: tuple[int, int, int], foreground: tuple[int, int, int]
) -> TerminalTheme:
    return TerminalTheme(background, foreground, [foreground] * 8, [foreground] * 8)


def _key(keys: str) -> str:
    names = keys.split(", ")
    return ", ".join(
        one if len(one) == 1 else _SIGNS.get(one, one.title()) for one in names
    )
