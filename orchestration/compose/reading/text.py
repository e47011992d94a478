"""Untrusted bytes → text that a YAML parser may read.

Refuses text that is too large, not UTF-8, or holds characters that YAML forbids
(control characters, lone surrogates) or treats as line ends that no editor shows, each
with one finding at its position. Also reads plain scalars as YAML 1.1 does, and
translates the parser's errors. Used by `document.py`.
"""

import re

import yaml

from orchestration.compose.reading.invisible import BYTE_ORDER_MARK, place_in
from orchestration.compose.reading.positions import Position
from orchestration.errors import Finding, Severity

SIZE_LIMIT_BYTES = 1024 * 1024
NOT_TEXT = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
# A CR inside a line, unless all lines of the file end with CR; and line ends that only
# YAML 1.1 has. Editors do not show the text behind them as a line of its own.
HIDDEN_END = re.compile("\r(?!\r*(?:\n|$))|[\x85\u2028\u2029]")


class Refused(Exception):
    """Stops reading because of a finding that makes the rest meaningless."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def refused(position: Position, message: str, hint: str = "") -> Refused:
    """Build the exception for an error at a position."""
    line, column = position.line, position.column
    return Refused(Finding(line, column, Severity.ERROR, "", message, hint))


def as_text(text: str | bytes) -> str:
    """Return the text. Raises Refused."""
    if len(text) > SIZE_LIMIT_BYTES:
        raise refused(
            Position(),
            f"The file is larger than {SIZE_LIMIT_BYTES // 1024} KiB.",
            "A kvm-compose.yaml is text of a few kilobytes; is it the right file?",
        )
    if isinstance(text, bytes):
        text = _decoded(text)
    text = text.lstrip(BYTE_ORDER_MARK)
    strange = NOT_TEXT.search(text)
    if strange:
        raise refused(
            place_in(text, strange.start()),
            f"Character U+{ord(strange.group()):04X} cannot stand in a YAML file.",
            "Save the file as plain UTF-8 text.",
        )
    _refuse_hidden_ends(text)
    return text


def _refuse_hidden_ends(text: str) -> None:
    hidden = HIDDEN_END.search(text)
    if hidden and (hidden.group() != "\r" or "\n" in text):
        raise refused(
            place_in(text, hidden.start()),
            f"Character U+{ord(hidden.group()):04X} ends a line here, and editors do "
            "not show it.",
            "Remove it, or start a new line.",
        )


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise refused(
            Position(line, column),
            "The file is not UTF-8 text.",
            "Save it in the UTF-8 encoding; it may also be a binary file.",
        ) from error


Scalar = str | int | float | bool | None

# No testbed needs longer numbers, and int() takes quadratic time.
NUMBER_LIMIT = 20

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+)")


def typed(kind: str, text: str) -> Scalar:
    """Read `text` as YAML 1.1's `kind`: null, bool, int, float, str or another."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if len(text) > NUMBER_LIMIT:
        return text
    if kind == "int" and INTEGER.fullmatch(text):
        return _integer(text)
    if kind == "float" and ":" not in text:
        return float(
            text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan")
        )
    return text


def _integer(text: str) -> int | str:
    digits = text.replace("_", "")
    bare = digits.lstrip("+-")
    base = 8 if bare.startswith("0") and bare.isdigit() and bare != "0" else 0
    try:
        return int(digits, base)
    except ValueError:
        return text


INDENT = "Check the indentation: entries of one list or map start in one column."
HINTS = (
    ("tab character", "Indent with spaces, not tabs."),
    ("cannot start any token", "Indent with spaces, not tabs; quote @, ` and %."),
    ("mapping values are not allowed", "Quote the text if it holds `: `. " + INDENT),
    ("could not find expected ':'", "A key needs `: ` after it. " + INDENT),
    ("did not find expected key", INDENT + " Or a quote or bracket is not closed."),
    ("did not find expected '-'", INDENT),
    ("did not find expected ',' or", "A `[` or `{` is not closed."),
    ("unexpected end of stream", "A quote or a bracket is not closed."),
    ("block sequence entries are not allowed", "Start the list on a line of its own."),
    ("did not find expected alphabetic", "Quote text that starts with `*` or `&`."),
    ("undefined tag handle", "Quote text that starts with `!`."),
    ("did not find expected <document start>", INDENT),
)


def line_of(error: yaml.YAMLError) -> int:
    """Return the line at which the parser failed."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else 1


def syntax_finding(error: yaml.YAMLError) -> Finding:
    """Translate a parser error into a finding with line, column and hint."""
    line, column, problem = 1, 1, "unreadable"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context)
        if mark is not None:
            line, column = mark.line + 1, mark.column + 1
        if error.context and error.context_mark and error.context_mark.line + 1 < line:
            problem += f" ({error.context} that starts in line "
            problem += f"{error.context_mark.line + 1})"
    elif isinstance(error, yaml.reader.ReaderError):
        problem = str(error.reason)
    hint = next((text for part, text in HINTS if part in problem), "")
    return Finding(
        line, column, Severity.ERROR, "", f"Not valid YAML: {problem}.", hint
    )
