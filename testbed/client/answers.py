"""The answers of a command as text for a terminal: equal ones once, as clush -b shows.

Takes the JSON that the server sends. Standard output goes to one stream; standard error,
each line behind its guests, and everything about a failure to the other.
"""

import sys
from collections.abc import Iterator
from typing import TextIO

from orchestration.terminal import plain
from testbed.client.screen import say
from testbed.client.watching import Frame

RULE = "-" * 15


def show_answers(answers: Frame) -> None:
    """Print each different answer below its guests: usual ones first, failures last."""
    for block in sorted(answers["blocks"], key=_place):
        for to, line in _lines(block):
            say(line, to=to)


def show_failures(
    answers: Frame, *, stopped_is_failed: bool = True, out: TextIO | None = None
) -> None:
    """Print where the command did not succeed, and why."""
    for block in answers["blocks"]:
        is_stopped = block["status"] == "cancelled" and not stopped_is_failed
        if not _is_good(block) and not is_stopped:
            text = f"{block['folded']}: {block['message'] or block['status']}"
            if hint := block["hint"]:
                text = f"{text.removesuffix('.')}. {hint}"
            say(plain(text), to=out or sys.stderr)


def has_success(answers: Frame) -> bool:
    """Return whether the command or copy succeeded on a guest."""
    return any(_is_good(block) for block in answers["blocks"])


def _lines(block: Frame) -> Iterator[tuple[TextIO, str]]:
    """Yield the lines of an answer, each with its stream."""
    count = f" ({block['count']})" if block["count"] > 1 else ""
    if not block["output"]:
        if block["message"] and _is_good(block):
            yield sys.stdout, plain(f"{block['folded']}{count}: {block['message']}")
        return
    code = f" exit code {block['exit_code']}" if block["exit_code"] else ""
    for line in (RULE, f"{block['folded']}{count}{code}", RULE):
        yield sys.stdout, line
    for stream, text in block["output"]:
        if stream == "stderr":
            yield sys.stderr, plain(f"{block['folded']}: {text}")
        else:
            yield sys.stdout, plain(text)


def _place(block: Frame) -> tuple[bool, int]:
    return not _is_good(block), -block["count"]


def _is_good(block: Frame) -> bool:
    return block["status"] in ("done", "unchanged", "warning")
