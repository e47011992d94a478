"""Times of reservations, across changes of clocks."""

from datetime import UTC, datetime

import pytest

from testbed.reservations.moments import NoMoment, in_words, moment, period, zones


@pytest.fixture(autouse=True)
def berlin(settings: object) -> None:
    settings.TIME_ZONE = "Europe/Berlin"


def test_time_without_an_offset_is_in_the_zone_that_was_chosen() -> None:
    assert zones() == ["Europe/Berlin", "UTC"]
    assert moment("2026-11-30T08:00", "Europe/Berlin") == datetime(
        2026, 11, 30, 7, tzinfo=UTC
    )
    assert moment("2026-11-30T08:00", "UTC") == datetime(2026, 11, 30, 8, tzinfo=UTC)


def test_offset_of_the_text_counts_more_than_the_zone() -> None:
    found = moment("2026-11-30T08:00+05:30", "UTC")

    assert found == datetime(2026, 11, 30, 2, 30, tzinfo=UTC)


def test_hour_that_is_left_out_is_refused() -> None:
    with pytest.raises(
        NoMoment, match="There is no 28 Mar 2027 02:30 in Europe/Berlin"
    ):
        moment("2027-03-28T02:30", "Europe/Berlin")


def test_hour_that_comes_twice_is_refused_and_utc_tells_both() -> None:
    with pytest.raises(NoMoment, match="25 Oct 2026 02:30 comes twice") as refused:
        moment("2026-10-25T02:30", "Europe/Berlin")

    assert "Give it in UTC" in refused.value.hint
    first, second = moment("2026-10-25T00:30", "UTC"), moment("2026-10-25T01:30", "UTC")
    assert in_words(first) == in_words(second) == "25 Oct 2026 02:30 Europe/Berlin"


@pytest.mark.parametrize(
    "text",
    ["", "tomorrow", "2026-02-30T10:00", "9999-12-31T23:59-12:00", "0001-01-01T00:00"],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(NoMoment, match="is no date and time"):
        moment(text, "Europe/Berlin")


def test_zone_that_is_not_offered_is_the_labs() -> None:
    assert moment("2026-11-30T08:00", "../etc") == datetime(2026, 11, 30, 7, tzinfo=UTC)


def test_period_names_the_zone_once() -> None:
    begin = datetime(2026, 11, 30, 7, tzinfo=UTC)

    assert period(begin, begin.replace(hour=9)) == (
        "30 Nov 2026 08:00 to 10:00 Europe/Berlin"
    )
    assert period(begin, begin.replace(month=12, day=1)) == (
        "30 Nov 2026 08:00 to 1 Dec 2026 08:00 Europe/Berlin"
    )
