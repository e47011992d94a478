"""The confirmation stands for an act and for what dies, by name and place."""

from dataclasses import replace

import pytest

from testbed.testbeds.erasure.losses import (
    Erasure,
    Loss,
    Sort,
    Unconfirmed,
    require_confirmed,
    token_of,
)

WEB = Loss(Sort.DISK, "web", "main", 1024, version="first")
DB = Loss(Sort.DISK, "db", "host-b")
BOTH = Erasure("up", "7", (WEB, DB), must_type="lab")


def test_act_that_erases_nothing_needs_no_confirmation() -> None:
    require_confirmed(Erasure("up", "7", ()), "")


def test_sizes_and_order_do_not_count() -> None:
    grown = replace(BOTH, losses=(DB, replace(WEB, size_bytes=4096, reason="moves")))

    require_confirmed(grown, BOTH.token)


@pytest.mark.parametrize(
    "other",
    [
        replace(BOTH, act="clear-artefacts"),
        replace(BOTH, of="8"),
        replace(BOTH, losses=(WEB,)),
        replace(BOTH, losses=(replace(WEB, host="host-b"), DB)),
        replace(BOTH, losses=(replace(WEB, version="second"), DB)),
        replace(BOTH, losses=(replace(WEB, sort=Sort.FILE), DB)),
        replace(BOTH, must_type="web"),
    ],
)
def test_token_of_another_act_or_list_confirms_nothing(other: Erasure) -> None:
    with pytest.raises(Unconfirmed) as refusal:
        require_confirmed(BOTH, other.token)

    assert refusal.value.erasure == BOTH
    assert "not the one that was confirmed" in refusal.value.message


def test_seal_alone_is_no_token_where_a_name_is_typed() -> None:
    assert token_of(BOTH.seal, "lab") == BOTH.token
    assert token_of(BOTH.seal, "") != BOTH.token
    with pytest.raises(Unconfirmed):
        require_confirmed(BOTH, BOTH.seal)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((WEB,), "the disk of web (1.0 KiB)"),
        ((WEB, DB), "the disks of web and db (1.0 KiB)"),
        ((DB,), "the disk of db"),
        (
            tuple(replace(DB, name=f"db{i}") for i in range(9)),
            "the disks of 9 guests",
        ),
        (
            (Loss(Sort.FILE, "a", size_bytes=2), Loss(Sort.FILE, "b", size_bytes=2)),
            "2 files (4 B)",
        ),
        ((DB, Loss(Sort.FILE, "a.sh", size_bytes=1)), "the disk of db, a.sh (1 B)"),
    ],
)
def test_losses_are_named_in_a_few_words(losses: tuple[Loss, ...], words: str) -> None:
    assert Erasure("up", "7", losses).summary == words
