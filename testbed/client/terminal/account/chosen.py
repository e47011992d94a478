"""Finds one of a user's own things by the number or name that was typed."""

from collections.abc import Sequence

from testbed.client.terminal.exits import Refusal
from testbed.client.watching import Frame


def chosen_by(known: Sequence[Frame], word: str, kind: str, command: str) -> Frame:
    """Return the item of the API with this number, else the only one of this name.

    `kind` is its word, as `key`; `command` has a `list`. Raises: Refusal (none, or
    several of the name).
    """
    numbered = [each for each in known if str(each["id"]) == word]
    found = numbered or [each for each in known if each["name"] == word]
    if len(found) == 1:
        return found[0]
    amount = f"several {kind}s" if found else f"no {kind}"
    raise Refusal(
        f"You have {amount} {word}.",
        hint=f"Name the number that `testbed {command} list` shows.",
    )
