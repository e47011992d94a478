"""Questions before something is done: yes or no, a name to type, or a new name."""

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Static

from testbed.client.tui.words import safe


class _Question(ModalScreen[bool]):
    """A box over the screen; Escape is no, and so is q outside a field."""

    DEFAULT_CSS = """
    _Question { align: center middle; }
    _Question > Vertical { width: 72; max-width: 96%; height: auto; max-height: 96%;
        padding: 0 1; border: round $primary; background: $surface; }
    _Question VerticalScroll { height: auto; max-height: 12; }
    _Question Horizontal { height: 3; align: right middle; }
    _Question Button { margin-left: 2; }
    _Question Checkbox, _Question Checkbox:focus { border: none; height: 1;
        padding: 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "no", "Back", key_display="Esc")
    ]

    def __init__(self, yes: str, *, is_grave: bool = False) -> None:
        super().__init__()
        self._yes = yes
        self._variant = "error" if is_grave else "primary"

    def begins_at(self, selector: str) -> None:
        """Give the keys to a part at once: one that comes early goes nowhere else."""
        self.AUTO_FOCUS = selector  # type: ignore[misc]  # Textual reads it of `self`

    def body(self) -> ComposeResult:
        """Yield what stands above the buttons."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """Yield the box."""
        with Vertical():
            yield from self.body()
            with Horizontal():
                yield Button("Back", id="no")
                yield Button(
                    self._yes,
                    id="yes",
                    variant="error" if self._variant == "error" else "primary",
                )

    def action_no(self) -> None:
        """Do nothing."""
        self.dismiss(False)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        if event.button.id == "yes":
            self.say_yes()
        else:
            self.dismiss(False)

    def say_yes(self) -> None:
        """Agree."""
        self.dismiss(True)


class Box(Checkbox):
    """A box whose sign, and not only its colour, says whether it is ticked."""

    @property
    def BUTTON_INNER(self) -> str:  # type: ignore[override]  # noqa: N802
        """The sign between its edges."""
        return "X" if self.value else " "


class Question(_Question):
    """Words and two buttons; `choices` are boxes to tick, found in `chosen`."""

    def __init__(
        self,
        words: str,
        yes: str,
        choices: dict[str, str] | None = None,
        *,
        is_grave: bool = False,
    ) -> None:
        super().__init__(yes, is_grave=is_grave)
        self._words = words
        self._choices = choices or {}
        self.chosen: dict[str, bool] = dict.fromkeys(self._choices, False)
        # The answer; Back where something is lost.
        self.begins_at("#no" if is_grave else "#yes")

    def body(self) -> ComposeResult:
        """Yield the words and the boxes."""
        yield Static(Text(self._words))
        for name, words in self._choices.items():
            yield Box(Text(words), id=name)

    def on_checkbox_changed(self, event: Checkbox.Changed) -> None:
        """Keep a choice."""
        self.chosen[str(event.checkbox.id)] = event.value


class Notice(ModalScreen[None]):
    """Words that stay until they were read, as about files that are in conflict."""

    AUTO_FOCUS = "Button"
    DEFAULT_CSS = """
    Notice { align: center middle; }
    Notice > Vertical { width: 76; max-width: 96%; height: auto; max-height: 96%;
        padding: 0 1; border: round $error; background: $surface; }
    Notice VerticalScroll { height: auto; max-height: 16; }
    Notice Horizontal { height: 3; align: right middle; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "app.pop_screen", "Back")
    ]

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def compose(self) -> ComposeResult:
        """Yield the words, and a button."""
        lines = [safe(one, 400) for one in self._words.splitlines()]
        with Vertical():
            with VerticalScroll():
                yield Static(Text("\n".join(lines)))
            with Horizontal():
                yield Button("Back", id="back", variant="primary")

    def on_button_pressed(self) -> None:
        """Return to the screen before."""
        self.app.pop_screen()


class EraseQuestion(_Question):
    """A list of what dies and what stays; where disks die, a name is to be typed."""

    def __init__(self, lines: list[str], name: str) -> None:
        super().__init__("Erase", is_grave=True)
        self._lines = lines
        self._name = safe(name, 200)
        self.begins_at("#name" if self._name else "#no")

    def body(self) -> ComposeResult:
        """Yield the list, and the field for the name."""
        with VerticalScroll():
            yield Static(Text("\n".join(safe(one) for one in self._lines)))
        if self._name:
            yield Static(Text(f"To erase this, type {self._name}"))
            yield Input(id="name")

    def on_mount(self) -> None:
        """Agree to nothing yet."""
        self._allow("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Let only the typed name agree."""
        self._allow(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Agree with Enter, when the name is right."""
        if event.value.strip() == self._name:
            self.say_yes()

    def _allow(self, typed: str) -> None:
        self.query_one("#yes", Button).disabled = typed.strip() != self._name


class NameQuestion(_Question):
    """Words and a field; `typed` is what was written."""

    def __init__(self, words: str, yes: str, value: str = "") -> None:
        super().__init__(yes)
        self._words = words
        self.typed = value
        self.begins_at("#name")

    def body(self) -> ComposeResult:
        """Yield the words and the field."""
        yield Static(Text(self._words))
        yield Input(self.typed, id="name")

    def on_input_submitted(self) -> None:
        """Agree with Enter."""
        self.say_yes()

    def say_yes(self) -> None:
        """Keep what was typed."""
        self.typed = self.query_one("#name", Input).value.strip()
        self.dismiss(bool(self.typed))
