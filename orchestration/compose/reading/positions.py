"""The position of each value of a document: path in the document → line and column.

A path is a tuple of keys and indexes, `("machines", 2, "name")`, shown to users as
`machines[2].name`. The loader fills `Positions` while it reads the text; every later
check takes the line of its finding from there, so that no rule depends on how YAML is
parsed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestration.errors import Finding, Severity

Path = tuple[str | int, ...]


class Position(NamedTuple):
    """A 1-based line and column; a tuple, as a large file has many."""

    line: int = 1
    column: int = 1


@dataclass(slots=True)
class Positions:
    """The positions of all keys and values of one document."""

    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)

    def of_value(self, path: Path) -> Position:
        """Return the position of a value, or of its nearest parent that exists."""
        for length in range(len(path), -1, -1):
            found = self.values.get(path[:length])
            if found is not None:
                return found
        return Position()

    def of_key(self, path: Path) -> Position:
        """Return the position of a key, or else of its value."""
        return self.keys.get(path) or self.of_value(path)

    def error(
        self, path: Path, message: str, hint: str = "", *, at_key: bool = False
    ) -> Finding:
        """Build an error at a path."""
        return self._finding(Severity.ERROR, path, message, hint, at_key=at_key)

    def warning(
        self, path: Path, message: str, hint: str = "", *, at_key: bool = False
    ) -> Finding:
        """Build a warning at a path."""
        return self._finding(Severity.WARNING, path, message, hint, at_key=at_key)

    def _finding(
        self, severity: Severity, path: Path, message: str, hint: str, *, at_key: bool
    ) -> Finding:
        place = self.of_key(path) if at_key else self.of_value(path)
        return Finding(
            line=place.line,
            column=place.column,
            severity=severity,
            path=show_path(path),
            message=message,
            hint=hint,
        )


def show_path(path: Iterable[str | int]) -> str:
    """Return a path as users read it: `machines[2].interfaces[0].bridge`."""
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            shown += f".{part}" if shown else part
    return shown
