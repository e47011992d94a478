"""The parameters of a saved command: `{name}` in its words, filled in before it runs.

A value is a part of an argument and nothing else: in a command and in a script's
arguments it is put in as it is, in a line for a shell it is quoted. Where quoting would
not hold, inside of quotes for example, a parameter is refused. `${name}` is the
shell's, and `{{name}}` means `{name}`. Pure.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace

from orchestration.errors import ExecutionRefused
from orchestration.plan.execution import Execution, Form, checked

_PARAMETER = re.compile(r"\{(\{[a-z][a-z0-9_]*\})\}|(?<!\$)\{([a-z][a-z0-9_]*)\}")
# Where these stand, a shell may read a quoted value again.
_READ_AGAIN = re.compile(r"`|<<|\$['\"]|\(\(|\[\[|(?:^|\s)#|\beval\b")


def parameters_of(wanted: Execution) -> tuple[str, ...]:
    """Return the names of a command's parameters, in the order of its words."""
    names = (name for word in wanted.words for name in _names(word))
    return tuple(dict.fromkeys(names))


def filled(wanted: Execution, values: Mapping[str, str]) -> Execution:
    """Return a command with its parameters' values. Raises: ExecutionRefused."""
    require_quotable(wanted)
    for name in parameters_of(wanted):
        if not values.get(name):
            raise ExecutionRefused(
                f"The parameter `{name}` has no value.", hint="Give one."
            )
    is_line = wanted.form is Form.SHELL

    def value(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        return shlex.quote(values[found[2]]) if is_line else values[found[2]]

    words = tuple(_PARAMETER.sub(value, word) for word in wanted.words)
    return checked(replace(wanted, words=words))


def require_quotable(wanted: Execution) -> None:
    """Refuse a line for a shell in which a value could become code.

    Raises: ExecutionRefused.
    """
    if wanted.form is not Form.SHELL or not parameters_of(wanted):
        return
    line = wanted.words[0]
    if found := _READ_AGAIN.search(line):
        raise ExecutionRefused(
            f"A line with `{found[0].strip()}` can have no parameters: the shell may "
            "read their values as code.",
            hint="Write a script that takes arguments.",
        )
    for found in _PARAMETER.finditer(line):
        if found[2] and _is_quoted(line[: found.start()]):
            raise ExecutionRefused(
                f"The parameter `{found[2]}` stands inside of quotes or behind a "
                "backslash.",
                hint="Leave the quotes away: its value is quoted anyway.",
            )


def _names(word: str) -> list[str]:
    return [found[2] for found in _PARAMETER.finditer(word) if found[2]]


def _is_quoted(before: str) -> bool:
    """Return whether a shell is inside of quotes, or escapes, after some text."""
    quote, is_escaped = "", False
    for character in before:
        if is_escaped:
            is_escaped = False
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return bool(quote) or is_escaped
