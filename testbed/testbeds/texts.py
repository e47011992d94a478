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
_END = re.compile("(\r\n|\n|\r)")
Lines = list[tuple[str, str]]


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
    return Text(normal(decoded), _remarks(content, _split(decoded)))


def is_text(content: bytes) -> bool:
    """Return whether bytes are UTF-8 text."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\0" not in content


def put_back(typed: str, before: bytes) -> bytes:
    """Return typed text as bytes, with the line ends and the mark of the old bytes.

    Lines before and after the change keep their own ends where a file mixes them;
    lines between get the end that most of its lines have.
    """
    mark = BOM if before.startswith(BOM) else b""
    old = _split(before.removeprefix(BOM).decode(errors="replace"))
    new = _split(normal(typed))
    usual = _usual_end(old)
    head = _same(old, new)
    tail = _same(old[head:][::-1], new[head:][::-1])
    ends = [usual] * len(new)
    ends[:head] = [end for _, end in old[:head]]
    ends[len(new) - tail :] = [end for _, end in old[len(old) - tail :]]
    # Only the last line may have no end, and the typed text decides that.
    written = (
        line + ((kept or usual) if end else "")
        for (line, end), kept in zip(new, ends, strict=True)
    )
    return mark + "".join(written).encode()


def normal(text: str) -> str:
    """Return a text with `\\n` line ends."""
    return _END.sub("\n", text)


def _split(text: str) -> Lines:
    """Split into lines and their ends; the last line has none, and may be empty."""
    parts = _END.split(text)
    return list(zip(parts[::2], [*parts[1::2], ""], strict=True))


def _same(old: Lines, new: Lines) -> int:
    """Count the lines at the front that are the same, apart from their ends."""
    count = 0
    for (one, _), (other, _) in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


def _usual_end(lines: Lines) -> str:
    ends = Counter(end for _, end in lines if end)
    return ends.most_common(1)[0][0] if ends else "\n"


def _remarks(content: bytes, lines: Lines) -> tuple[str, ...]:
    ends = {end for _, end in lines if end}
    found = ["byte order mark"] if content.startswith(BOM) else []
    if len(ends) > 1:
        found.append("mixed line ends")
    else:
        found += [NAMES[end] for end in ends if end in NAMES]
    if lines[-1][0]:
        found.append("no line end at the end")
    return tuple(found)
