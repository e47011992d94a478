"""Turns the output of a guest into text that is safe to display.

Terminal codes are removed, since they only colour and move. All other characters that
are invisible, or that change how text around them looks, are made visible: control
characters as pictures (␀ ␇ ␛), invisible and direction-changing characters as their
names (<U+202E>). Pure; HTML is escaped by the templates.
"""

import re

_ANSI = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]+[0-~]|[@-Z\\-_])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# C1 controls; soft hyphen; zero width, direction marks and overrides, separators,
# fillers; and the tags, which can hide whole sentences.
_INVISIBLE = re.compile(
    "[\x80-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]"
)
_PICTURES = 0x2400
_PICTURE_OF_DELETE = "\N{SYMBOL FOR DELETE}"


def plain(text: str) -> str:
    """Return a line as displayed; of text that a `\\r` overwrites, the last is kept."""
    if text.isascii() and text.isprintable():
        return text
    line = _ANSI.sub("", text).rstrip("\r").rpartition("\r")[2]
    return _INVISIBLE.sub(_name, _CONTROL.sub(_picture, line))


def plain_lines(text: str) -> str:
    """Return output of several lines as displayed."""
    return "\n".join(plain(line) for line in text.split("\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _PICTURE_OF_DELETE if code == 0x7F else chr(_PICTURES + code)


def _name(found: re.Match[str]) -> str:
    return f"<U+{ord(found[0]):04X}>"
