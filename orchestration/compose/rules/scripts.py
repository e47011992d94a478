"""Rules about a script's content: its size, first line and invisible characters.

Used by `files.py`, which finds where the YAML names scripts. Each script is checked
once, however many machines run it. Invisible characters that a shell treats as part of
a word are reported with their line and column.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.compose.files import Files
from orchestration.compose.reading.invisible import INVISIBLE, character, place_in
from orchestration.errors import Severity

SCRIPT_LIMIT_BYTES = 1024 * 1024
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
CR = re.compile("\r+(\n|$)?")
COMMENT = re.compile(r"\s*#(?!!)")


@dataclass(frozen=True, slots=True)
class Problem:
    """One sentence about a script, and a hint."""

    severity: Severity
    message: str
    hint: str

    @property
    def is_error(self) -> bool:
        """Return whether it forbids `up`."""
        return self.severity is Severity.ERROR


def script_problems(files: Files, script: str) -> tuple[Problem, ...]:
    """Check the content of an existing script."""
    size = files.size_bytes(script, at_most=SCRIPT_LIMIT_BYTES)
    if size == 0:
        return (
            _error(f"The script `{script}` is empty.", "Write it, or remove the key."),
        )
    if size > SCRIPT_LIMIT_BYTES:
        limit = f"{SCRIPT_LIMIT_BYTES // 1024} KiB"
        return (
            _error(
                f"The script `{script}` is larger than {limit}.",
                "Put data into the `context` folder.",
            ),
        )
    content = files.head(script, SCRIPT_LIMIT_BYTES)
    marked = _mark(script, content)
    if marked:
        return (marked,)
    return (*_first_line(script, content), *_hidden(script, content))


def _mark(script: str, content: bytes) -> Problem | None:
    """Find characters before `#!`, which keep the kernel from recognizing it."""
    if content.startswith(UTF8_MARK):
        return _error(
            f"The script `{script}` begins with a byte order mark, so that its `#!` is "
            "not seen.",
            "Save it as UTF-8 without a byte order mark.",
        )
    if content.startswith(UTF16_MARKS):
        return _error(
            f"The script `{script}` is UTF-16 text, which no shell reads.",
            "Save it as UTF-8 without a byte order mark.",
        )
    return None


def _first_line(script: str, content: bytes) -> Iterator[Problem]:
    if not content.startswith(b"#!"):
        yield _warning(
            f"The script `{script}` does not start with `#!`; it is run with bash, or "
            "with sh where the guest has no bash.",
            "Make its first line `#!/bin/bash`.",
        )


def _hidden(script: str, content: bytes) -> Iterator[Problem]:
    if b"\0" in content:
        return  # a program
    text = content.decode(errors="replace")
    cr = CR.search(text)
    if cr and cr.group(1) is not None:
        line = place_in(text, cr.start()).line
        yield _warning(
            f"The script `{script}` has Windows line endings, the first in line "
            f"{line}; sh stumbles over them.",
            "Save it with Unix line endings.",
        )
    elif cr:
        yield _invisible(script, "\r", *_place(text, cr.start()))
    for number, line_text in enumerate(text.split("\n"), 1):
        found = None if COMMENT.match(line_text) else INVISIBLE.search(line_text)
        if found:
            yield _invisible(script, found.group(), number, found.start() + 1)
            return


def _place(text: str, index: int) -> tuple[int, int]:
    place = place_in(text, index)
    return place.line, place.column


def _invisible(script: str, char: str, line: int, column: int) -> Problem:
    return _warning(
        f"The script `{script}` has a {character(char)} in line {line}, column "
        f"{column}, which cannot be seen.",
        "Write a plain space, or nothing, unless it is meant.",
    )


def _error(message: str, hint: str) -> Problem:
    return Problem(Severity.ERROR, message, hint)


def _warning(message: str, hint: str) -> Problem:
    return Problem(Severity.WARNING, message, hint)
