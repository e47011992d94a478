"""The difference of two outputs, line by line, as a unified diff.

Pure, and bounded: comparing takes quadratic time where lines repeat, so that outputs
that are too long or too alike within themselves are compared by their first lines.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from itertools import islice

from orchestration.events import Stream

MOST_LINES = 2000
MOST_PAIRS = 100_000
CONTEXT = 3
KINDS = {"+": "added", "-": "removed", "@": "place"}


@dataclass(frozen=True, slots=True)
class Difference:
    """Lines of a unified diff with their kinds; `compared` lines of each at most.

    `is_cut`: the outputs are longer than what was compared.
    """

    lines: tuple[tuple[str, str], ...]
    compared: int
    is_cut: bool


def difference(
    one: Iterable[tuple[Stream, str]], other: Iterable[tuple[Stream, str]]
) -> Difference:
    """Compare two outputs; lines of standard error are marked."""
    first, second = _lines(one), _lines(other)
    most = _bound(first, second)
    diff = unified_diff(first[:most], second[:most], n=CONTEXT, lineterm="")
    lines = tuple(_kinds(islice(diff, 2, None)))
    return Difference(lines, most, max(len(first), len(second)) > most)


def _lines(output: Iterable[tuple[Stream, str]]) -> list[str]:
    marked = (f"stderr: {t}" if s is Stream.STDERR else t for s, t in output)
    return list(islice(marked, MOST_LINES + 1))


def _bound(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many first lines are compared."""
    most = MOST_LINES
    while most > 1 and _pairs(one[:most], other[:most]) > MOST_PAIRS:
        most //= 2
    return most


def _pairs(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the pairs of equal lines: the work of one search of difflib's."""
    counts = Counter(other)
    return sum(count * counts[line] for line, count in Counter(one).items())


def _kinds(diff: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in diff:
        yield KINDS.get(line[:1], "same"), line
