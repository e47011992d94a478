"""Sessions: their keys are in no database, and they end."""

from datetime import timedelta

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.access.sessions import SessionStore
from testbed.models import WebSession
from testbed.retention import forget_old_sessions


def test_key_in_the_database_is_no_cookie(client: Client, owner: User):
    client.force_login(owner)
    thief = Client()
    thief.cookies["sessionid"] = WebSession.objects.get().session_key

    assert client.get("/").status_code == 200
    assert thief.get("/").status_code == 302


def test_session_that_was_logged_out_is_over(client: Client, owner: User):
    client.force_login(owner)
    thief = Client()
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    before = thief.get("/").status_code

    client.post("/logout/")

    assert (before, thief.get("/").status_code) == (200, 302)
    assert not WebSession.objects.exists()


def test_session_ends_when_it_is_not_used(client: Client, owner: User, settings):
    settings.SESSION_COOKIE_AGE = 3600
    client.force_login(owner)
    end_in(minutes=-1)

    assert client.get("/").status_code == 302


def test_session_that_is_used_goes_on(client: Client, owner: User, settings):
    settings.SESSION_COOKIE_AGE = 3600
    client.force_login(owner)
    end_in(minutes=5)

    answer = client.get("/")

    left = WebSession.objects.get().expire_date - timezone.now()
    assert left > timedelta(minutes=55)
    assert answer.cookies["sessionid"]["max-age"] == 3600


def test_session_of_a_visitor_is_short(db: None):
    session = SessionStore()
    session["word"] = "kept"
    session.save()

    left = WebSession.objects.get().expire_date - timezone.now()
    assert left < timedelta(hours=1)


def test_sessions_that_ended_are_removed(client: Client, owner: User):
    client.force_login(owner)
    Client().force_login(owner)
    WebSession.objects.filter(pk=WebSession.objects.first().pk).update(
        expire_date=timezone.now() - timedelta(seconds=1)
    )

    assert forget_old_sessions() == 1
    assert WebSession.objects.count() == 1


def test_session_is_not_written_at_each_request(client: Client, owner: User):
    client.force_login(owner)
    before = WebSession.objects.get().expire_date

    client.get("/")

    assert WebSession.objects.get().expire_date == before


def end_in(minutes: int) -> None:
    end = timezone.now() + timedelta(minutes=minutes)
    WebSession.objects.update(expire_date=end)


async def test_session_is_used_asynchronously_under_the_same_key(
    owner: User, transactional_db: None
):
    session = SessionStore()
    await session.aset("word", "kept")
    await session.asave()
    again = SessionStore(session.session_key)

    found = await again.aget("word")
    await again.adelete()

    assert found == "kept"
    assert not await SessionStore().aexists(session.session_key)
