"""Converts text files for a browser's editor, and back to the file's own bytes.

A form sends every line end as CRLF, and loses the byte order mark and the file's own
line ends. `read_text` shows a file's bytes as text; `put_back` gives typed text the
conventions of the bytes that it replaces. Pure; used by `editing`. Bytes that are no
UTF-8, or hold a NUL, are no text.
"""

import re
from collections import Counter
from dataclasses import dataclass

BOM = b"\xef\xbb\xbf"
MAX_TEXT_BYTES = 512 * 1024
NAMES = {"\r\n": "CRLF", "\r": "CR"}
_END = re.compile("\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Text:
    """A file's text with `\\n` line ends, and the special features of its bytes."""

    text: str
    remarks: tuple[str, ...]


def read_text(content: bytes) -> Text | None:
    """Return the text of a file; None for a binary one or one too long to edit."""
    if len(content) > MAX_TEXT_BYTES or not is_text(content):
        return None
    decoded = content.removeprefix(BOM).decode()
    return Text(normal(decoded), _remarks(content, decoded))


def is_text(content: bytes) -> bool:
    """Return whether bytes are UTF-8 text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def put_back(typed: str, before: bytes) -> bytes:
    """Return typed text as bytes, with the usual line end and the mark of the old bytes.

    Unchanged text is the old bytes, also where they mix line ends.
    """
    old, new = before.removeprefix(BOM).decode(errors="replace"), normal(typed)
    if new == normal(old):
        return before
    mark = BOM if before.startswith(BOM) else b""
    return mark + new.replace("\n", _usual_end(old)).encode()


def normal(text: str) -> str:
    """Return a text with `\\n` line ends."""
    return _END.sub("\n", text)


def _usual_end(text: str) -> str:
    ends = Counter(_END.findall(text))
    return ends.most_common(1)[0][0] if ends else "\n"


def _remarks(content: bytes, text: str) -> tuple[str, ...]:
    ends = set(_END.findall(text))
    found = ["byte order mark"] if content.startswith(BOM) else []
    if len(ends) > 1:
        found.append("mixed line ends, which a change makes the same")
    else:
        found += [NAMES[end] for end in ends if end in NAMES]
    if text and not _END.fullmatch(text[-1]):
        found.append("no line end at the end")
    return tuple(found)
