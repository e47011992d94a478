"""The process of a contestant that is a library: it keeps connections between turns.

Reads one turn a line from its standard input and answers with the seconds. Only the
standard library is imported here: some contestants have an environment of their own.
"""

import json
import sys
from typing import Any, Protocol

Case = dict[str, Any]


class Contestant(Protocol):
    """The turns of a library; each returns seconds."""

    def cold(self, case: Case) -> float:
        """Log in everywhere and run the command."""

    def warm(self, case: Case) -> float:
        """Run the command on the kept connections."""

    def close(self) -> None:
        """Close all connections."""


def serve(contestant: Contestant) -> None:
    """Take turns until the standard input ends."""
    for text in sys.stdin:
        turn = json.loads(text)
        try:
            answer: dict[str, object] = {"seconds": _taken(contestant, turn)}
        except Exception as exc:  # noqa: BLE001 - passed on to the benchmark
            answer = {"problem": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)


def _taken(contestant: Contestant, turn: Case) -> float:
    match turn.pop("turn"):
        case "cold":
            return contestant.cold(turn)
        case "warm":
            return contestant.warm(turn)
        case _:
            contestant.close()
            return 0.0


def require_lines(outputs: list[list[str]], case: Case) -> None:
    """Check that each target printed what it should. Raises: ValueError."""
    for lines in outputs:
        if len(lines) != case["lines"]:
            raise ValueError(f"{len(lines)} lines of {case['lines']} came")
