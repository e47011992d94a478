"""The next batch to work: users share the places, and a newcomer finds one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.runs.places.fairness import Claim, Places, choose

PLACES = Places.of_workers(12)


def claims(count: int, *, run: int, user: int) -> list[Claim]:
    return [Claim(run * 1000 + number, run, user) for number in range(count)]


def test_some_processes_and_some_places_stay_free() -> None:
    assert Places.of_workers(12) == Places(total=10, per_user=8)
    assert Places.of_workers(4) == Places(total=3, per_user=2)
    assert Places.of_workers(1) == Places(total=1, per_user=1)


def test_one_run_alone_takes_its_persons_places_and_no_more() -> None:
    chosen = choose([], claims(20, run=1, user=1), PLACES)

    assert len(chosen) == 8
    assert [c.batch for c in chosen] == [1000 + n for n in range(8)]


def test_newcomer_goes_at_once_while_a_large_run_works() -> None:
    working = claims(8, run=1, user=1)
    waiting = [*claims(12, run=1, user=1), *claims(2, run=2, user=2)]

    assert choose(working, waiting, PLACES) == waiting[-2:]


def test_person_with_fewest_places_is_next() -> None:
    working = [*claims(6, run=1, user=1), *claims(3, run=2, user=2)]
    waiting = [*claims(4, run=1, user=1), *claims(4, run=2, user=2)]

    assert [c.user for c in choose(working, waiting, PLACES)] == [2]


def test_small_run_of_the_same_person_goes_before_the_rest_of_the_large_one() -> None:
    working = claims(7, run=1, user=1)
    waiting = [*claims(9, run=1, user=1), *claims(1, run=2, user=1)]

    assert [c.run for c in choose(working, waiting, PLACES)] == [2]


claim_lists = st.lists(
    st.tuples(st.integers(1, 4), st.integers(1, 3)), max_size=40
).map(
    lambda pairs: [
        Claim(number, user * 10 + run, user) for number, (user, run) in enumerate(pairs)
    ]
)


@settings(deadline=None)
@given(claim_lists, st.integers(0, 40), st.integers(1, 40))
def test_limits_hold_and_no_place_is_wasted(
    everything: list[Claim], split: int, processes: int
) -> None:
    places = Places.of_workers(processes)
    working, waiting = everything[:split], everything[split:]

    chosen = choose(working, waiting, places)
    now = [*working, *chosen]
    left = [claim for claim in waiting if claim not in chosen]

    assert len(set(chosen)) == len(chosen)
    if chosen:
        assert len(now) <= places.total
    for user in {claim.user for claim in chosen}:
        assert sum(c.user == user for c in now) <= places.per_user
    if len(now) < places.total:
        held = {user: sum(c.user == user for c in now) for user in range(5)}
        assert all(held[claim.user] >= places.per_user for claim in left)


@settings(deadline=None)
@given(claim_lists, st.integers(1, 40))
def test_everything_is_done_in_the_end(waiting: list[Claim], processes: int) -> None:
    places = Places.of_workers(processes)
    left, working = list(waiting), list[Claim]()
    for _ in range(len(waiting)):
        chosen = choose(working, left, places)
        working += chosen
        left = [claim for claim in left if claim not in chosen]
        assert working, "nothing works and nothing is let in"
        working.pop(0)

    assert not left
    assert not working
