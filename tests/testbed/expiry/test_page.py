"""The end on the testbed's page, in the list, for programs, and for each role."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testbed.models import Expiry, Testbed
from tests.testbed.api.conftest import asker
from tests.testbed.conftest import ShareWith
from tests.testbed.expiry.conftest import HOUR, end_of

PAGE = "/testbeds/olive/lab/"
EXPIRY = "/testbeds/olive/lab/expiry/"
JSON = {"Accept": "application/json"}


@pytest.fixture
def near(lab: Testbed) -> Expiry:
    """An end in five hours, announced."""
    now = timezone.now()
    return Expiry.objects.create(
        testbed=lab,
        expires_at=now + 5 * HOUR,
        warned_at=now - 20 * HOUR,
        seen_at=now,
    )


def text(browser: Client, address: str = PAGE) -> str:
    return " ".join(browser.get(address).content.decode().split())


@pytest.mark.parametrize("hours", ["48", 48, 48.0])
def test_program_moves_the_end_by_a_number_or_its_text(
    owner: User, near: Expiry, hours: object
):
    ask = asker(owner, "manage")

    answer = ask("POST", "/testbeds/olive/lab/expiry", {"hours": hours})

    assert answer.status_code == 200, answer.content
    left = end_of(near.testbed).expires_at - timezone.now()
    assert 47 * HOUR < left <= 48 * HOUR


@pytest.mark.parametrize("hours", [True, -1, [48]])
def test_number_of_hours_that_is_none_is_refused(
    owner: User, near: Expiry, hours: object
):
    ask = asker(owner, "manage")

    answer = ask("POST", "/testbeds/olive/lab/expiry", {"hours": hours})

    assert answer.status_code == 422


def test_page_counts_down(browser: Client, lab: Testbed):
    Expiry.objects.create(
        testbed=lab, expires_at=timezone.now() + 50 * HOUR + timedelta(seconds=40)
    )

    shown = text(browser)

    assert "ends in 50 h 01 min" in shown
    assert 'id="end-warning"' not in shown
    assert "ends in 50 h 01 min" in text(browser, f"{PAGE}live/")


def test_announced_end_is_a_warning_with_a_way_to_extend(browser: Client, near: Expiry):
    shown = text(browser)

    assert "<b>This testbed ends in 5 h 00 min</b>" in shown
    assert "A snapshot of all guests is taken" in shown
    assert "Extend to" in shown


def test_warning_says_why_the_end_waits(browser: Client, near: Expiry):
    Expiry.objects.update(said="It waits: olive has been running up.")

    assert "It waits: olive has been running up." in text(browser)


def test_one_click_extends(browser: Client, near: Expiry, lab: Testbed):
    found = browser.get(PAGE).context["end"].extends_to

    answer = browser.post(EXPIRY, {"until": found.isoformat()}, follow=True)

    assert end_of(lab).expires_at == found
    assert end_of(lab).warned_at is None
    assert b"Testbed lab ends at" in answer.content


def test_moment_of_the_form_is_in_the_labs_time_zone(
    browser: Client, near: Expiry, lab: Testbed
):
    wanted = timezone.now() + 30 * HOUR

    browser.post(EXPIRY, {"until": wanted.strftime("%Y-%m-%dT%H:%M")})

    assert end_of(lab).expires_at == wanted.replace(second=0, microsecond=0)


def test_bad_end_is_answered_with_a_page_and_a_way_back(browser: Client, near: Expiry):
    answer = browser.post(EXPIRY, {"until": "2001-01-01T00:00"})

    assert answer.status_code == 422
    assert b"is in the past" in answer.content
    assert PAGE.encode() in answer.content


def test_program_extends_and_reads(browser: Client, near: Expiry, lab: Testbed):
    answer = browser.post(EXPIRY, {"hours": "48"}, headers=JSON)

    assert answer.status_code == 200
    found = answer.json()["expiry"]
    assert found["at_end"] == "snapshot"
    assert found["announced"] is False
    assert browser.get(EXPIRY, headers=JSON).json() == answer.json()
    bad = browser.post(EXPIRY, {"hours": "nan"}, headers=JSON)
    assert bad.status_code == 422
    assert "no number of hours" in bad.json()["error"]


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("operator", 403), ("editor", 403)]
)
def test_shares_do_not_extend(
    client: Client, near: Expiry, lab: Testbed, share: ShareWith, role: str, status: int
):
    client.force_login(share(lab, role))

    assert client.post(EXPIRY, {"extend": ""}).status_code == status
    assert end_of(lab).expires_at == near.expires_at
    shown = text(client)
    assert "Extend to" not in shown
    assert "olive or a lab admin can extend it." in shown


def test_stranger_does_not_learn_of_a_testbed(
    client: Client, near: Expiry, stranger: User
):
    client.force_login(stranger)

    assert client.post(EXPIRY, {"extend": ""}).status_code == 404
    assert client.get(EXPIRY).status_code == 404


def test_owner_may_not_choose_that_it_never_ends(
    browser: Client, near: Expiry, lab: Testbed
):
    answer = browser.post(EXPIRY, {"at_end": "keep"})

    assert answer.status_code == 403
    assert end_of(lab).action == "snapshot"
    assert 'value="keep"' not in text(browser)


def test_lab_admin_chooses_that_it_never_ends(page: Client, near: Expiry):
    page.post(EXPIRY, {"at_end": "keep"})

    shown = text(page)
    assert "never ends" in shown
    assert "Extend to" not in shown
    assert "never ends" in text(page, "/")


def test_list_shows_ends_without_further_queries(
    browser: Client, near: Expiry, owner: User
):
    browser.get("/")
    with CaptureQueriesContext(
        connection,
    ) as before:
        assert ">ends in " in text(browser, "/")
    for number in range(20, 30):
        found = Testbed.objects.create(
            owner=owner, slug=f"t{number}", number=number, condition="up"
        )
        Expiry.objects.create(testbed=found, expires_at=timezone.now() + HOUR)
    with CaptureQueriesContext(connection) as after:
        assert text(browser, "/").count(">ends in ") == 11
    assert len(after) == len(before)


def test_testbed_that_is_down_shows_no_end(browser: Client, near: Expiry):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    shown = text(browser)

    assert 'id="end-warning"' not in shown
    assert "The end is set when the testbed comes up." in shown
    assert ">ends in " not in text(browser, "/")


def test_idle_testbed_says_why_it_ends_earlier(
    browser: Client, near: Expiry, settings: object
):
    settings.EXPIRY = settings.EXPIRY._replace(idle=8 * HOUR)
    Expiry.objects.update(idle_at=timezone.now() + HOUR)

    assert "for 8 h there was no run and no console" in text(browser)


def test_lab_without_ends_offers_one_without_pressing_it(
    browser: Client, lab: Testbed, settings: object
):
    settings.EXPIRY = settings.EXPIRY._replace(usual=timedelta())

    shown = text(browser)

    assert "This testbed has no end." in shown
    assert "Extend to" not in shown
    assert "An end, at most" in shown
