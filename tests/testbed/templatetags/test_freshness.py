"""The age of a page's facts in words, and the notice on facts that are late."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from testbed.models import Host, Run, Testbed
from testbed.templatetags.freshness import updated
from tests.testbed.conftest import MakeRun

PAGES = ("/", "/testbeds/olive/lab/", "/hosts/")


LATE = "Not updated for 52 s"


@pytest.fixture(autouse=True)
def _looks(settings: object) -> None:
    settings.OBSERVE_EVERY_S = 10


def looked(seconds: int, **hosts: object) -> None:
    """Let the last look at some hosts, and at their testbeds, be so long ago."""
    moment = timezone.now() - timedelta(seconds=seconds)
    Host.objects.filter(**hosts).update(checked_at=moment)
    Testbed.objects.update(observed_at=moment)


def seconds_as_52(page: str) -> str:
    """Return a page as if it had been asked for at once: a busy server takes seconds."""
    return re.sub(r"(?<=pdated for )5[2-9] s", "52 s", page)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3, "updated just now"),
        (25, "updated 25 s ago"),
        (52, "not updated for 52 s"),
        (190, "not updated for 3 min 10 s"),
        (7200, "last updated 2 h ago"),
        (None, "never updated"),
    ],
)
def test_age_of_a_look_is_said_in_words(seconds: int | None, words: str) -> None:
    moment = timezone.now() - timedelta(seconds=seconds) if seconds else None

    assert updated(moment) == words


@pytest.mark.parametrize("page", PAGES)
def test_pages_say_that_no_host_is_read_any_more(
    browser: Client, generated: Testbed, page: str
) -> None:
    looked(3)
    fresh = browser.get(page).content.decode()
    looked(52)

    late = browser.get(page).content.decode()

    assert "Not updated for" not in fresh
    assert LATE + ": no worker has read the hosts since." in seconds_as_52(late)
    assert "celery -A testbed worker -B" in late


def test_page_of_a_run_says_that_no_host_is_read_any_more(
    browser: Client, make_run: MakeRun
) -> None:
    run = make_run()
    Run.objects.filter(pk=run.pk).update(status=Run.Status.CANCELLING)
    looked(52)

    page = browser.get(f"/runs/{run.pk}/waiting/").content.decode()

    assert LATE in seconds_as_52(page)


def test_page_names_the_host_that_made_it_late(
    browser: Client, generated: Testbed
) -> None:
    looked(52, name="host-b")
    Host.objects.filter(name="main").update(checked_at=timezone.now())
    Host.objects.filter(name="host-b").update(
        checked_at=timezone.now(), problem="host-b does not answer."
    )

    page = seconds_as_52(browser.get("/testbeds/olive/lab/").content.decode())

    assert f"{LATE}: host-b is offline." in " ".join(page.split())
    assert "not updated for 52 s" in page
    assert "Not updated for" not in browser.get("/hosts/").content.decode()
