"""One unquoted YAML word → text, number, truth value or nothing.

Used by `document.py` with the kind that YAML 1.1 gives the word. Where YAML 1.1
surprises people the text stays: times, dates and base-60 numbers (an unquoted MAC such
as 52:54:00:12:34:56 would be one). Yes, no, on and off stay truth values, because
silently changing them would hide a difference between tools; the message says so.
"""

import re

Scalar = str | int | float | bool | None

# Longer numbers are no number that a testbed needs, and int() takes quadratic time.
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
