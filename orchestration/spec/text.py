"""Bytes from anybody → text that a YAML parser may see.

Refuses what is too large, not UTF-8, or holds characters that YAML forbids (control
characters, halves of characters), each with one finding at its place. Used by
`document.py`, before the parser sees anything.
"""

import re

from orchestration.errors import Finding, Severity
from orchestration.spec.positions import Position

SIZE_LIMIT_BYTES = 1024 * 1024
NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


class Refused(Exception):
    """Stop reading because of a finding that makes the rest meaningless."""

    def __init__(self, position: Position, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.finding = Finding(
            position.line, position.column, Severity.ERROR, "", message, hint
        )


def as_text(text: str | bytes) -> str:
    """Return the text. Raises Refused."""
    if len(text) > SIZE_LIMIT_BYTES:
        raise Refused(
            Position(),
            f"The file is larger than {SIZE_LIMIT_BYTES // 1024} KiB.",
            "A kvm-compose.yaml is text of a few kilobytes; is it the right file?",
        )
    if isinstance(text, bytes):
        text = _decoded(text)
    text = text.removeprefix("\ufeff")
    strange = NOT_TEXT.search(text)
    if strange:
        before = text[: strange.start()]
        raise Refused(
            Position(before.count("\n") + 1, len(before) - before.rfind("\n")),
            f"Character U+{ord(strange.group()):04X} cannot stand in a YAML file.",
            "Save the file as plain UTF-8 text.",
        )
    return text


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise Refused(
            Position(line, column),
            "The file is not UTF-8 text.",
            "Save it in the UTF-8 encoding; it may also be a binary file.",
        ) from error
