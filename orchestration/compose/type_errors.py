"""pydantic's type errors → findings in the terms of YAML.

Used by the loader only. A finding names the value, the expected type and the correct
spelling; it explains the traps of YAML 1.1 (`no` is a truth value, `1` is a number).
`mended` returns a section without its mistakes, so that one wrong value hides no other
finding.
"""

import difflib
from collections.abc import Callable, Iterable
from copy import deepcopy

from pydantic_core import ErrorDetails

from orchestration.compose.reading.document import Value
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import Finding

TRUTH_HINT = (
    "YAML reads yes, no, on, off, true and false as truth values: write it in quotes."
)


def type_finding(
    error: ErrorDetails, section: Path, data: Value, positions: Positions
) -> Finding:
    """Translate one error of a section whose value is `data`."""
    path, found, missing = _walk(error["loc"], data)
    path = (*section, *path)
    if missing:
        key = path[-1]
        return positions.error(path, f"`{key}` is missing.", f"Add `{key}:` here.")
    message, hint = _sentence(error["type"], error, found)
    return positions.error(path, message, hint)


def place_of_error(error: ErrorDetails, data: Value) -> Path:
    """Return the path of an error within a section's value."""
    return _walk(error["loc"], data)[0]


def _is_form(part: int | str) -> bool:
    """Return whether a part names a value's form (`<list>`), not a key or index."""
    return isinstance(part, str) and part.startswith("<")


def _walk(loc: tuple[int | str, ...], data: Value) -> tuple[Path, Value, bool]:
    """Follow pydantic's location in the data, as far as the data goes.

    pydantic counts a map that a model turned into pairs: (index, 0 or 1).
    """
    path: Path = ()
    parts = [part for part in loc if not _is_form(part)]
    while parts:
        part = parts.pop(0)
        if isinstance(data, dict) and isinstance(part, int):
            part = list(data)[part]
            parts.pop(0)
        path = (*path, part)
        if isinstance(data, dict) and part in data:
            data = data[str(part)]
        elif isinstance(data, list) and isinstance(part, int):
            data = data[part]
        else:
            return path, data, True
    return path, data, False


def kind_of(value: Value) -> str:
    """Return the name of a value's type."""
    if value is None:
        return "empty"
    names: tuple[tuple[type, str], ...] = (
        (bool, "a truth value"),
        (int, "a number"),
        (float, "a number with a fraction"),
        (str, "text"),
        (list, "a list"),
        (dict, "a map"),
    )
    return next(name for kind, name in names if isinstance(value, kind))


def _sentence(kind: str, error: ErrorDetails, found: Value) -> tuple[str, str]:
    if kind in ("enum", "literal_error"):
        return _choice(error, found)
    if kind in BOUNDS:
        words, key = BOUNDS[kind]
        limit = error.get("ctx", {}).get(key)
        return f"This must be {words} {limit}, it is {found}.", ""
    say = SENTENCES.get(kind)
    if say is None:
        return f"{error['msg']}.", ""
    wanted, hint = say(found)
    return f"This must be {wanted}, it is {kind_of(found)}.", hint


def _choice(error: ErrorDetails, found: Value) -> tuple[str, str]:
    if isinstance(found, dict | list):
        return f"This must be a word, it is {kind_of(found)}.", ""
    allowed = error.get("ctx", {}).get("expected", "")
    names = [name.strip(" '") for name in allowed.replace(" or ", ",").split(",")]
    near = difflib.get_close_matches(str(found), names, n=1, cutoff=0.3)
    hint = f"Did you mean `{near[0]}`?" if near else ""
    return f"`{found}` is not one of: {', '.join(names)}.", hint


def _text(found: Value) -> tuple[str, str]:
    if isinstance(found, bool):
        return "text", TRUTH_HINT
    if isinstance(found, int | float):
        return "text", f'Write it in quotes: "{found}".'
    if found is None:
        return "text", "Write a value, or remove the key."
    return "text", ""


def _number(found: Value) -> tuple[str, str]:
    if isinstance(found, str) and found.strip().isdigit():
        return "a whole number", f"Remove the quotes: {found.strip()}."
    if isinstance(found, str) and found.strip(" gGmMiIbB").isdigit():
        return "a whole number", "Write the number only, without a unit."
    return "a whole number", ""


def _truth(found: Value) -> tuple[str, str]:
    return "true or false", "Write true or false, without quotes."


def _list(found: Value) -> tuple[str, str]:
    if found is None:
        return "a list", "Write `[]`, or remove the key."
    return "a list", "Put each entry on a line of its own that starts with `- `."


def _map(found: Value) -> tuple[str, str]:
    return "a map", "Write lines of `key: value`, indented below the key."


BOUNDS = {
    "less_than_equal": ("at most", "le"),
    "greater_than_equal": ("at least", "ge"),
}
Say = Callable[[Value], tuple[str, str]]
SENTENCES: dict[str, Say] = {
    "string_type": _text,
    "int_type": _number,
    "int_from_float": _number,
    "bool_type": _truth,
    "tuple_type": _list,
    "dict_type": _map,
    "model_type": _map,
}


STAND_INS = {"cpus": 1, "memory_mb": 64}
LEFT_OUT = {
    "mac",
    "username",
    "password",
    "expand_gigabytes",
    "setup_script",
    "run_script",
    "context",
    "driver_type",
    "device_type",
    "readonly",
    "create_deep_copy",
    "env_file",
    "privileged",
    "user",
}


def mended(section: Value, places: Iterable[Path]) -> Value:
    """Return the section without its mistakes; None if one cannot be repaired."""
    copy = deepcopy(section)
    for place in places:
        if not _mend(copy, place):
            return None
    return copy


def _mend(section: Value, place: Path) -> bool:
    if not place:
        return False
    *above, key = place
    holder = section
    for part in above:
        if isinstance(holder, dict) and isinstance(part, str):
            holder = holder.get(part)
        elif isinstance(holder, list) and isinstance(part, int):
            holder = holder[part]
        else:
            return False
    if not isinstance(holder, dict) or not isinstance(key, str):
        return False
    if key in STAND_INS:
        holder[key] = STAND_INS[key]
        return True
    is_variable = bool(above) and above[-1] == "environment"
    if key in LEFT_OUT or is_variable:
        holder.pop(key, None)
    return key in LEFT_OUT or is_variable
