"""The pages of a testbed ask the database a bounded number of times."""

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from testbed.models import Testbed

PAGES = (
    ("/testbeds/olive/lab/", 21),
    ("/testbeds/olive/lab/live/", 17),
    ("/testbeds/olive/lab/budgets/", 21),
    ("/testbeds/olive/lab/guests/web/", 17),
    ("/testbeds/olive/lab/snapshots/", 15),
    ("/testbeds/olive/lab/sharing/", 15),
)


@pytest.mark.parametrize(("page", "most"), PAGES)
def test_page_asks_a_bounded_number_of_times(
    browser: Client,
    generated: Testbed,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    page: str,
    most: int,
) -> None:
    browser.get(page)

    with django_assert_max_num_queries(most):
        assert browser.get(page).status_code == 200
