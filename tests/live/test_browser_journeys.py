"""Journeys of several pages in a real browser: a newcomer, a full lab, and an end.

Redis, Celery worker with its beat and Daphne are the real ones, the hosts are rehearsed.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.live.browser import YAML, add_tiny_image, create, page_of, signed_in
from tests.live.often import sent_often
from tests.live.stack import Stack, simulated_stack

pytestmark = pytest.mark.browser
# Each testbed of these tests has two guests with a vCPU each.
TWO_VCPUS_EACH = """
from django.contrib.auth.models import User
from testbed.models import Allowance, Host
for user in User.objects.all():
    Allowance.objects.update_or_create(user=user, defaults={"vcpus": 2})
for host in Host.objects.all():
    Host.objects.filter(pk=host.pk).update(vcpu_overcommit=2 / host.cpus)
"""
END = """
from datetime import timedelta
from testbed.models import Expiry
from testbed.models.expiry import database_now
now = database_now()
Expiry.objects.exclude(expires_at=None).update(seen_at=now,
    expires_at=now + timedelta(hours={hours}), warned_at=now - timedelta(hours=25))
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A lab of one host in which testbeds end, and where each user has two vCPUs."""
    folder = tmp_path_factory.mktemp("journeys")
    with simulated_stack(folder, hosts=1, TESTBED_EXPIRY_HOURS="48") as lab:
        add_tiny_image(lab)
        lab.add_user("owner", "other", "newcomer")
        lab.shell(TWO_VCPUS_EACH)
        yield lab


@pytest.fixture
def page(lab: Stack, chromium: Browser) -> Iterator[Page]:
    """The owner's page in this lab."""
    with signed_in(chromium, lab.url, "owner") as page:
        yield page


@pytest.fixture
def refused(lab: Stack, chromium: Browser) -> Iterator[Page]:
    """The owner's page, which may get one answer of 422."""
    errors: list[str] = []
    with page_of(chromium, lab.url, "owner", errors) as page:
        yield page
    assert len(errors) == 1, errors
    assert "422" in errors[0]


def press(page: Page, name: str) -> None:
    """Press a button of a testbed's page and follow its run to its success."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.locator("#run-outcome")).to_contain_text(f"{name} succeeded.")


def test_newcomer_follows_the_first_steps_to_a_running_lab(
    lab: Stack, chromium: Browser
):
    with signed_in(chromium, lab.url, "newcomer") as page:
        steps = page.get_by_role("region", name="First steps")
        steps.locator("[aria-current=step]").get_by_role("link").click()
        page.get_by_label("Name", exact=True).fill("my-first")
        page.get_by_label("kvm-compose.yaml").fill(YAML)
        page.get_by_role("button", name="Create testbed").click()
        expect(page.get_by_text("This testbed is a draft.")).to_be_visible()

        page.get_by_role("link", name="Testbeds").first.click()
        expect(steps.get_by_text("done")).to_have_count(1)
        steps.locator("[aria-current=step]").get_by_role("link").click()
        press(page, "Up")

        page.get_by_role("link", name="Testbeds").first.click()
        expect(steps.get_by_text("done")).to_have_count(2)
        expect(page.get_by_role("row", name="my-first")).to_contain_text("up")
        steps.locator("[aria-current=step]").get_by_role("link").click()
        press(page, "Down")


def test_quota_refuses_and_a_full_host_lets_wait(
    lab: Stack, chromium: Browser, refused: Page
):
    page = refused
    create(page, "first")
    first = page.url
    press(page, "Up")
    create(page, "second")
    second = page.url
    expect(page.locator("#quota-problem")).to_contain_text("needs 2 of 0 vCPUs left")
    page.get_by_role("button", name="Up", exact=True).click()
    expect(page.get_by_text("in the quota of owner").first).to_be_visible()
    page.goto(first)
    press(page, "Down")

    with signed_in(chromium, lab.url, "other") as theirs:
        create(theirs, "in-the-way")
        in_the_way = theirs.url
        press(theirs, "Up")

        page.goto(second)
        expect(page.locator("#quota-problem")).to_have_count(0)
        expect(page.locator("#needs")).to_contain_text("Up will wait in the queue.")
        page.get_by_role("button", name="Up", exact=True).click()
        expect(page.locator("#queue")).to_contain_text("Place 1 of 1 in the queue.")

        theirs.goto(in_the_way)
        press(theirs, "Down")

    expect(page.locator("#run-outcome")).to_contain_text("Up succeeded.")
    page.goto(second)
    press(page, "Down")


def test_end_that_was_announced_is_put_off_and_comes_with_a_snapshot(
    lab: Stack, page: Page
):
    create(page, "announced")
    address = page.url
    press(page, "Up")
    page.goto(address)
    expect(page.locator("#ends")).to_contain_text("ends in 47 h")

    lab.shell(END.format(hours=1))
    warning = page.locator("#end-warning")
    expect(warning).to_contain_text("This testbed ends in")
    expect(warning).to_contain_text("A snapshot of all guests is taken")
    warning.get_by_role("button", name="Extend to").click()
    expect(page.locator("#ends")).to_contain_text("ends in")
    expect(warning).to_have_count(0)

    with sent_often(lab, "expire"):
        lab.shell(END.format(hours=0))
        expect(page.locator("#live")).to_contain_text("0 of 2 guests up")
    page.goto(f"{address}snapshots/")
    expect(page.locator("[id^='group-end-']")).to_be_visible()
