"""Sessions that were open before they had a table of their own stay open."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from testbed.access.sessions import sessions_of
from testbed.models import WebSession
from tests.testbed.migrating import migrated

BEFORE, AFTER = (
    [("testbed", "0050_told_of_reservations")],
    [("testbed", "0051_sessions")],
)


@pytest.mark.usefixtures("newest")
def test_open_sessions_stay_open_and_know_their_users():
    user = User.objects.create_user("olive", password="olive-pass")
    client = Client()
    client.force_login(user)
    row = WebSession.objects.get()
    kept = {"session_key": row.session_key, "session_data": row.session_data}
    migrated(BEFORE)
    ends = timezone.now() + timedelta(hours=1)
    Session.objects.create(expire_date=ends, **kept)
    broken = {"session_key": "a" * 40, "session_data": "nonsense"}
    Session.objects.create(expire_date=ends, **broken)

    migrated(AFTER)

    assert WebSession.objects.count() == 2
    assert client.get("/").status_code == 200
    assert [one.handle for one in sessions_of(user, None)] == [row.session_key]


@pytest.mark.usefixtures("newest")
def test_old_table_of_sessions_is_emptied():
    migrated(AFTER)
    ends = timezone.now() + timedelta(hours=1)
    Session.objects.create(session_key="a" * 40, session_data="x", expire_date=ends)

    migrated([("testbed", "0056_sign_in")])

    assert not Session.objects.exists()
