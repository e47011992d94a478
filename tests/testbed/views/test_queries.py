"""The pages of a testbed ask the database a bounded number of times, in each state."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from testbed.models import ObservedGuest, Testbed
from testbed.testbeds.capacity import needs_in, set_started
from tests.testbed.conftest import MakeTestbed, Reserved
from tests.testbed.testbeds.planning.edits import edit

MOST = 15
PAGES = ("", "live/", "budgets/", "guests/web/", "snapshots/", "sharing/")


@pytest.fixture
def up(generated: Testbed) -> Testbed:
    """The testbed is up, but for a guest that is off."""
    state = generated.project.read_state()
    for guest, status in zip(state.guests, ("running", "shut off"), strict=True):
        generated.project.mark(guest.name, disk="made")
        ObservedGuest.objects.create(
            testbed=generated,
            name=guest.name,
            host=guest.host,
            status=status,
            observed_at=timezone.now(),
        )
    generated.condition = Testbed.Condition.UP
    generated.observed_at = timezone.now()
    generated.save()
    set_started(generated, needs_in(state))
    return generated


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("state", ["draft", "generated", "up", "edited"])
def test_page_asks_a_bounded_number_of_times(
    request: pytest.FixtureRequest,
    browser: Client,
    testbed: Testbed,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    state: str,
    page: str,
) -> None:
    if state != "draft":
        request.getfixturevalue("up" if state == "edited" else state)
    elif page == "guests/web/":
        pytest.skip("A draft has no guests.")
    if state == "edited":
        edit(testbed, "cpus: 1", "cpus: 2", 1)
    address = f"/testbeds/olive/lab/{page}"
    browser.get(address)

    with django_assert_max_num_queries(MOST):
        assert browser.get(address).status_code == 200


@pytest.mark.parametrize("page", ["", "live/"])
def test_page_in_a_full_lab_asks_a_bounded_number_of_times(
    browser: Client,
    up: Testbed,
    make: MakeTestbed,
    member: User,
    reserved: Reserved,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    page: str,
) -> None:
    """Others have reserved its hosts, and it was edited."""
    for number in range(3):
        set_started(
            make(f"other-{number}", condition="up"), needs_in(up.project.read_state())
        )
        reserved(member, "host-b", begin=number)
    edit(up, "cpus: 1", "cpus: 2", 1)
    address = f"/testbeds/olive/lab/{page}"
    browser.get(address)

    with django_assert_max_num_queries(MOST):
        assert browser.get(address).status_code == 200
