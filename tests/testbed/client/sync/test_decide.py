"""Every case of here, there and before: nothing that another user edited is lost."""

import pytest

from testbed.client.sync.decide import decide

A, B, C = "a" * 64, "b" * 64, "c" * 64


def one(here: str, there: str, before: str):
    """Decide about one file; an empty digest is none."""
    sides = [{"f": digest} if digest else {} for digest in (here, there, before)]
    return decide(*sides)


@pytest.mark.parametrize(
    ("here", "there", "before", "seen"),
    [
        (A, "", "", ""),  # new here
        (B, A, A, A),  # edited here
    ],
)
def test_file_that_changed_here_alone_is_sent(
    here: str, there: str, before: str, seen: str
) -> None:
    decision = one(here, there, before)

    assert [(each.path, each.seen) for each in decision.send] == [("f", seen)]
    assert not decision.conflicts
    assert not decision.remove


def test_file_that_was_deleted_here_alone_is_removed() -> None:
    assert one("", A, A).remove == ("f",)


@pytest.mark.parametrize("before", ["", A, B])
def test_file_that_is_the_same_on_both_sides_is_left_alone(before: str) -> None:
    decision = one(A, A, before)

    assert decision.same == {"f": A}
    assert decision.changes == []


def test_file_that_only_the_server_ever_had_is_left_alone() -> None:
    assert one("", A, "").changes == []


def test_file_that_went_on_both_sides_is_forgotten() -> None:
    """Otherwise the same file, made on the server again, would be one to delete."""
    decision = one("", "", A)

    assert decision.changes == []
    assert decision.gone == ("f",)


@pytest.mark.parametrize(
    ("here", "there", "before", "reason"),
    [
        (A, B, A, "edited on the server"),
        (B, C, A, "edited on the server and here"),
        ("", B, A, "edited on the server, deleted here"),
        (A, "", A, "deleted on the server"),
        (B, "", A, "deleted on the server, edited here"),
        (A, B, "", "another file of this name is on the server"),
    ],
)
def test_file_that_the_server_has_otherwise_is_a_conflict(
    here: str, there: str, before: str, reason: str
) -> None:
    decision = one(here, there, before)

    assert [each.reason for each in decision.conflicts] == [reason]
    assert not decision.send
    assert not decision.remove


@pytest.mark.parametrize(("here", "there"), [(B, C), (B, "")])
def test_copy_of_the_folder_is_sent_when_the_user_decides_so(
    here: str, there: str
) -> None:
    sides = [{"f": digest} if digest else {} for digest in (here, there, A)]

    decision = decide(*sides, forced=["f"])

    assert [(each.path, each.seen) for each in decision.send] == [("f", there)]
    assert not decision.conflicts


def test_deletion_is_sent_when_the_user_decides_so() -> None:
    assert decide({}, {"f": B}, {"f": A}, forced=["f"]).remove == ("f",)
