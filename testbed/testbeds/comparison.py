"""Compares two texts of one file side by side, and applies a chosen difference.

For the editor, when one user saved a file while another typed: `compare` cuts both
texts into stretches that are the same or differ, `take` puts the saved lines of one
stretch into the typed text. Pure, and bounded: texts that differ too much are one
stretch, because comparing line by line takes quadratic time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

MAX_PAIRS = 1_000_000
NEAR = 3
Lines = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Lines that both texts have, or the lines of each in the same place.

    `number` counts the differences from 1, and is 0 for equal lines.
    """

    number: int
    saved: Lines
    typed: Lines

    @property
    def folded(self) -> int:
        """The number of equal lines that are folded."""
        hidden = len(self.saved) - 2 * NEAR
        return hidden if not self.number and hidden > 1 else 0

    @property
    def before(self) -> Lines:
        """The equal lines to show before the folded ones."""
        return self.saved[:NEAR] if self.folded else self.saved

    @property
    def after(self) -> Lines:
        """The equal lines to show after the folded ones."""
        return self.saved[-NEAR:] if self.folded else ()


def compare(saved: str, typed: str) -> tuple[Stretch, ...]:
    """Return both texts as stretches in order."""
    return tuple(_stretches(saved.split("\n"), typed.split("\n")))


def take(stretches: Sequence[Stretch], number: int) -> str:
    """Return the typed text with the saved lines in one difference."""
    lines: list[str] = []
    for stretch in stretches:
        lines += stretch.saved if stretch.number in (0, number) else stretch.typed
    return "\n".join(lines)


def _stretches(saved: list[str], typed: list[str]) -> Iterator[Stretch]:
    head = _same(saved, typed)
    tail = _same(saved[head:][::-1], typed[head:][::-1])
    one, other = saved[head : len(saved) - tail], typed[head : len(typed) - tail]
    if head:
        yield Stretch(0, tuple(saved[:head]), ())
    yield from _middle(one, other)
    if tail:
        yield Stretch(0, tuple(saved[len(saved) - tail :]), ())


def _middle(saved: list[str], typed: list[str]) -> Iterator[Stretch]:
    if not saved and not typed:
        return
    if len(saved) * len(typed) > MAX_PAIRS:
        yield Stretch(1, tuple(saved), tuple(typed))
        return
    number = 0
    matcher = SequenceMatcher(None, saved, typed)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            yield Stretch(0, tuple(saved[a:b]), ())
        else:
            number += 1
            yield Stretch(number, tuple(saved[a:b]), tuple(typed[c:d]))


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """Count the lines at the front that are the same."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count
