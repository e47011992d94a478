"""The account page of API tokens."""

import re

from django.contrib.auth.models import User
from django.test import Client

from testbed.access.tokens import make_token, user_of_token
from testbed.models import ApiToken

TOKEN = re.compile(r"tb_[\w-]{40,}")


def signed_in(user: User) -> Client:
    """Return a browser whose user just gave the password once more."""
    client = Client()
    client.force_login(user)
    client.post("/account/confirm/", {"password": f"{user.username}-pass"})
    return client


def test_token_is_shown_once_and_works(owner: User):
    client = signed_in(owner)

    made = client.post("/tokens/", {"name": "ci", "scope": ["run"], "days": "7"})

    (text,) = TOKEN.findall(made.content.decode())
    again = client.get("/tokens/").content.decode()
    assert "no-store" in made.headers["Cache-Control"]
    assert user_of_token(text) == owner
    assert TOKEN.findall(again) == []
    assert text[:10] in again
    assert "read run" in again


def test_refused_form_keeps_what_was_typed(owner: User):
    client = signed_in(owner)

    answer = client.post(
        "/tokens/", {"name": "my ci", "scope": ["edit"], "days": "99999"}
    )

    page = answer.content.decode()
    assert answer.status_code == 422
    assert 'value="my ci"' in page
    assert re.search(r'value="edit"\s+checked', page)
    assert "lasts 1 to 365 days" in page


def test_days_that_are_no_number_are_refused(owner: User):
    client = signed_in(owner)

    statuses = {
        client.post("/tokens/", {"name": "ci", "days": days}).status_code
        for days in ("-1", "1.5", "²", "9" * 50, "x")
    }

    assert statuses == {422}
    assert not ApiToken.objects.exists()


def test_user_revokes_own_tokens_alone(owner: User, stranger: User):
    own, _ = make_token(owner, "own", [], 7)
    other, _ = make_token(stranger, "other", [], 7)
    client = signed_in(owner)

    statuses = [
        client.post("/tokens/revoke/", {"token": number}).status_code
        for number in (other.pk, "9" * 30, "x", own.pk, own.pk)
    ]

    assert statuses == [404, 404, 404, 302, 404]
    assert list(ApiToken.objects.all()) == [other]


def test_token_reaches_no_page(owner: User):
    _, text = make_token(owner, "ci", ["admin", "edit", "manage", "run"], 7)

    answers = [
        Client().get(address, headers={"Authorization": f"Bearer {text}"})
        for address in ("/", "/tokens/", "/password/", f"/tokens/?token={text}")
    ]

    assert {answer.status_code for answer in answers} == {302}


def test_session_alone_makes_no_token(owner: User):
    """A token outlives the session, its end by the user, and a new password."""
    client = Client()
    client.force_login(owner)
    form = {"name": "kept", "scope": ["run", "edit", "manage", "admin"], "days": "365"}

    answer = client.post("/tokens/", form)

    assert answer.status_code == 302
    assert answer["Location"].startswith("/account/confirm/")
    assert not ApiToken.objects.exists()
