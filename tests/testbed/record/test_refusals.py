"""Acts that a user's role does not allow are in the record, and do not fill it."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.test import Client
from django.utils import timezone

from testbed.access.permissions import REFUSED_AGAIN_AFTER
from testbed.models import Entry, Testbed
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import visible


@pytest.fixture
def viewer(client: Client, testbed: Testbed, share: ShareWith) -> User:
    """A viewer of the testbed, who is signed in."""
    found = share(testbed, "viewer")
    client.force_login(found)
    return found


def refused() -> list[tuple[str, str, str, str]]:
    entries = Entry.objects.filter(outcome="refused").order_by("pk")
    return list(entries.values_list("user", "role", "act", "thing"))


def test_refused_act_is_recorded_with_the_role(client: Client, viewer: User):
    answer = client.post("/testbeds/olive/lab/labels/", {"tags": "x"})

    assert answer.status_code == 403
    assert refused() == [(str(viewer), "viewer", "describe", "lab")]
    assert (
        Entry.objects.get(outcome="refused").what == "POST /testbeds/olive/lab/labels/"
    )


def test_repeated_refusal_is_recorded_once_until_later(client: Client, viewer: User):
    for _ in range(3):
        client.post("/testbeds/olive/lab/labels/", {"tags": "x"})
    client.post("/testbeds/olive/lab/expiry/", {"extend": ""})
    assert [act for *_, act, _ in refused()] == ["describe", "extend"]

    earlier = timezone.now() - REFUSED_AGAIN_AFTER - timedelta(seconds=1)
    QuerySet.update(Entry.objects.all(), at=earlier)
    client.post("/testbeds/olive/lab/labels/", {"tags": "x"})

    assert [act for *_, act, _ in refused()] == ["describe", "extend", "describe"]


def test_refused_page_of_admins_is_recorded(client: Client, viewer: User):
    client.post("/hosts/host-b/drain/")

    entry = Entry.objects.get(outcome="refused")
    assert (entry.act, entry.what) == ("administer", "POST /hosts/host-b/drain/")


def test_ticked_act_that_is_refused_is_recorded(client: Client, viewer: User):
    client.post("/ticked/", {"act": "up", "testbed": ["lab", "nosuch"]})

    assert refused() == [(str(viewer), "viewer", "up", "lab")]


def test_stranger_leaves_no_entry_on_a_testbed(
    client: Client, testbed: Testbed, stranger: User
):
    client.force_login(stranger)

    assert client.post("/testbeds/olive/lab/labels/", {"tags": "x"}).status_code == 404
    assert refused() == []


def test_owner_finds_it_in_the_record(
    client: Client, viewer: User, testbed: Testbed, owner: User
):
    client.post("/testbeds/olive/lab/labels/", {"tags": "x"})
    client.force_login(owner)

    page = visible(
        client.get("/testbeds/olive/lab/record/?outcome=refused").content.decode()
    )

    assert "change description and tags" in page
    assert "refused" in page
