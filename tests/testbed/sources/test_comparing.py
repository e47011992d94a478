"""Three sides of each file, and what becomes of it."""

import pytest

from testbed.sources.comparing import compare


@pytest.mark.parametrize(
    ("before", "here", "there", "outcome"),
    [
        ("1", "1", "1", ""),
        ("1", "1", "2", "changed"),
        ("1", "1", "", "removed"),
        ("", "", "2", "added"),
        ("1", "2", "1", "kept"),
        ("1", "", "1", "kept"),
        ("1", "2", "2", ""),
        ("1", "", "", ""),
        ("1", "2", "3", "conflicts"),
        ("1", "2", "", "conflicts"),
        ("1", "", "2", "conflicts"),
        ("", "1", "2", "conflicts"),
    ],
)
def test_file_with_three_sides_has_one_outcome(
    before: str, here: str, there: str, outcome: str
):
    sides = [{"a": each} if each else {} for each in (before, here, there)]

    found = compare(*sides)

    names = ("added", "changed", "removed", "kept", "conflicts")
    assert [name for name in names if getattr(found, name)] == [outcome][
        : bool(outcome)
    ]


def test_file_that_is_only_here_is_left_alone():
    found = compare({}, {"notes": "1"}, {"a": "2"})

    assert (found.added, found.kept, found.conflicts) == (["a"], [], {})


@pytest.mark.parametrize(
    ("here", "takes", "outcome"),
    [("1", True, "changed"), ("1", False, "kept"), ("", True, "added")],
)
def test_decided_conflict_uses_one_side(here: str, takes: bool, outcome: str):
    mine = {"a": here} if here else {}
    decided = {"a": (here, "2")}

    found = compare({"a": "0"}, mine, {"a": "2"}, decided=decided, takes=takes)

    assert getattr(found, outcome) == ["a"]
    assert found.replaced == (["a"] if here and takes else [])
    assert not found.conflicts


def test_conflict_whose_side_changed_after_the_decision_is_one_again():
    decided = {"a": ("1", "2")}

    found = compare({}, {"a": "1b"}, {"a": "2"}, decided=decided, takes=True)

    assert found.conflicts == {"a": ("1b", "2")}
