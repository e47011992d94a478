"""Sessions: their keys are in no database, and they end."""

from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from testbed.access.sessions import SessionStore


def test_key_in_the_database_is_no_cookie(client: Client, owner: User):
    client.force_login(owner)
    thief = Client()
    thief.cookies["sessionid"] = Session.objects.get().session_key

    assert client.get("/").status_code == 200
    assert thief.get("/").status_code == 302


def test_session_that_was_logged_out_is_over(client: Client, owner: User):
    client.force_login(owner)
    thief = Client()
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    before = thief.get("/").status_code

    client.post("/logout/")

    assert (before, thief.get("/").status_code) == (200, 302)
    assert not Session.objects.exists()


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
