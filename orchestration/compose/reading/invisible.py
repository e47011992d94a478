"""Invisible characters that change the meaning of a text.

Editors and web pages put no-break spaces, zero-width characters and byte order marks
into copied text; neither YAML nor a shell treats them as spaces. Used by the reader of
the YAML and by the rule about scripts. Pure.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import chain

from orchestration.compose.reading.positions import Position
from orchestration.errors import Finding, Severity

BYTE_ORDER_MARK = "\ufeff"
# Spaces other than the plain one, zero-width characters, and marks of direction.
RANGES = (
    *((0xA0, 0xA0), (0xAD, 0xAD), (0x1680, 0x1680), (0x180E, 0x180E)),
    *((0x2000, 0x200F), (0x202A, 0x202F), (0x205F, 0x2064), (0x2066, 0x206F)),
    *((0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
CHARACTERS = "".join(
    map(chr, chain.from_iterable(range(first, last + 1) for first, last in RANGES))
)
INVISIBLE = re.compile(f"[{CHARACTERS}]")
INDENT = re.compile(f"[ \t{CHARACTERS}]*")
# Line ends of Unix, Windows and old Macs.
LINE_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Hidden:
    """An invisible character and its position."""

    char: str
    place: Position
    is_indent: bool = False

    def finding(self, severity: Severity = Severity.ERROR) -> Finding:
        """Build the finding that names the character and says how to remove it."""
        message = f"There is a {character(self.char)} here, which cannot be seen."
        hint = "Write a plain space, or nothing; quote the text if it is meant."
        if self.is_indent:
            message = f"The line is indented with a {character(self.char)}."
            hint = "Indent with plain spaces."
        return Finding(self.place.line, self.place.column, severity, "", message, hint)


def character(char: str) -> str:
    """Return a character's name: `no-break space (U+00A0)`."""
    known = {BYTE_ORDER_MARK: "byte order mark", "\r": "carriage return"}
    name = known.get(char) or unicodedata.name(char, "character").lower()
    return f"{name} (U+{ord(char):04X})"


def trimmed(text: str) -> str:
    """Return a text without spaces and invisible characters at its ends."""
    return text.strip(" \t" + CHARACTERS)


def place_in(text: str, index: int) -> Position:
    """Return the position of the character at an index."""
    before = text[:index]
    return Position(before.count("\n") + 1, index - before.rfind("\n"))


def cause_of_error(text: str, line: int) -> Hidden | None:
    """Return the invisible character that makes a parser fail in a line.

    It is in the nearest preceding indentation, or else anywhere in the line itself.
    """
    lines = LINE_END.split(text)[:line]
    for number, content in reversed(list(enumerate(lines, 1))):
        indent = INDENT.match(content)
        found = INVISIBLE.search(indent.group()) if indent else None
        if found:
            place = Position(number, found.start() + 1)
            return Hidden(found.group(), place, is_indent=True)
    found = INVISIBLE.search(lines[-1]) if lines else None
    return Hidden(found.group(), Position(line, found.start() + 1)) if found else None


def is_indent(text: str) -> bool:
    """Return whether a text can be the indentation before a line's content."""
    return INDENT.fullmatch(text) is not None
