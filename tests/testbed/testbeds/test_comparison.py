"""Two texts become stretches, whole and in order, and one can be chosen."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from testbed.testbeds.comparison import MAX_PAIRS, NEAR, Stretch, compare, take

TEXTS = st.lists(st.sampled_from(["a", "b", "", "c: 1"]), max_size=12).map("\n".join)


def differences(saved: str, typed: str) -> list[tuple[str, str]]:
    return [
        ("".join(part.saved), "".join(part.typed))
        for part in compare(saved, typed)
        if part.number
    ]


@given(saved=TEXTS, typed=TEXTS)
def test_stretches_hold_both_texts_whole(saved: str, typed: str) -> None:
    parts = compare(saved, typed)

    both = [(p.saved, p.typed if p.number else p.saved) for p in parts]
    assert "\n".join(itertools.chain(*(one for one, _ in both))) == saved
    assert "\n".join(itertools.chain(*(other for _, other in both))) == typed
    numbers = [part.number for part in parts if part.number]
    assert numbers == list(range(1, len(numbers) + 1))


@given(saved=TEXTS, typed=TEXTS)
def test_taking_every_difference_gives_the_saved_text(saved: str, typed: str) -> None:
    parts = compare(saved, typed)
    for _ in [part for part in parts if part.number]:
        typed = take(parts, 1)
        parts = compare(saved, typed)

    assert typed == saved


def test_differences_are_lines_that_were_added_removed_or_changed() -> None:
    found = differences("a\nb\nc\nd", "a\nB\nc\nd\ne")

    assert found == [("b", "B"), ("", "e")]


def test_equal_lines_far_from_a_difference_are_folded() -> None:
    lines = [str(number) for number in range(20)]

    same, _ = compare("\n".join([*lines, "x"]), "\n".join([*lines, "y"]))
    short = Stretch(0, tuple(lines[: 2 * NEAR + 1]), ())

    assert same.folded == len(lines) - 2 * NEAR
    assert (same.before, same.after) == (tuple(lines[:NEAR]), tuple(lines[-NEAR:]))
    assert (short.folded, short.before, short.after) == (0, short.saved, ())


def test_texts_that_have_little_in_common_are_one_difference() -> None:
    count = int(MAX_PAIRS**0.5) + 1
    saved = "\n".join(["first", *(f"s{number % 7}" for number in range(count))])
    typed = "\n".join(["first", *(f"t{number % 5}" for number in range(count))])

    same, differs = compare(saved, typed)

    assert same.saved == ("first",)
    assert (len(differs.saved), len(differs.typed)) == (count, count)
