"""Sums of reservations over time, and the next time at which an amount fits."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestration.state.placement import Taken
from testbed.reservations.timeline import Claim, fits, most, next_gap, spans

DAY = datetime(2026, 11, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)


def claim(begin: int, end: int, cpus: int, memory_mib: int = 0) -> Claim:
    return Claim(DAY + begin * HOUR, DAY + end * HOUR, Taken(cpus, memory_mib))


def parts(claims: list[Claim], begin: int, end: int) -> list[tuple[float, float, int]]:
    """Return begin and end in hours, and the vCPUs, of each part."""
    return [
        ((p.begins_at - DAY) / HOUR, (p.ends_at - DAY) / HOUR, p.need.cpus)
        for p in spans(claims, DAY + begin * HOUR, DAY + end * HOUR)
    ]


def test_sums_change_where_a_claim_begins_or_ends() -> None:
    found = parts([claim(1, 4, 2), claim(3, 6, 5), claim(8, 9, 1)], 0, 8)

    assert found == [(0, 1, 0), (1, 3, 2), (3, 4, 7), (4, 6, 5), (6, 8, 0)]


def test_claims_from_before_and_until_after_are_cut() -> None:
    assert parts([claim(-5, 30, 3)], 0, 24) == [(0, 24, 3)]


def test_one_claim_ends_as_the_next_begins() -> None:
    assert most([claim(0, 2, 3), claim(2, 4, 3)], DAY, DAY + 4 * HOUR) == Taken(3, 0)


def test_each_amount_has_its_own_largest_sum() -> None:
    claims = [claim(0, 2, 3, 100), claim(2, 4, 1, 900)]

    assert most(claims, DAY, DAY + 4 * HOUR) == Taken(3, 900)


def test_next_gap_is_long_enough() -> None:
    claims = [claim(0, 2, 4), claim(3, 6, 4)]
    place = claim(0, 2, 4)

    found = next_gap(Taken(1, 0), claims, place, DAY + 100 * HOUR)

    assert found == DAY + 6 * HOUR


def test_there_is_no_gap_for_more_than_all() -> None:
    claims, place = [claim(0, 2, 4)], claim(0, 2, 4)

    assert next_gap(Taken(5, 0), claims, place, DAY + 100 * HOUR) is None


CLAIMS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 9), st.integers(1, 5)).map(
        lambda t: claim(t[0], t[0] + t[1], t[2])
    ),
    max_size=8,
)


@given(CLAIMS, st.integers(1, 6), st.integers(0, 20), st.integers(1, 6))
def test_amount_fits_where_no_hour_is_above_the_whole(
    claims: list[Claim], cpus: int, begin: int, length: int
) -> None:
    place = claim(begin, begin + length, 8)

    by_hour = [
        sum(
            one.need.cpus
            for one in claims
            if one.begins_at <= DAY + hour * HOUR < one.ends_at
        )
        for hour in range(begin, begin + length)
    ]

    assert fits(Taken(cpus, 0), claims, place) == (max(by_hour) + cpus <= 8)
