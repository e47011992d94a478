"""Signing in: attempts are counted before any password is hashed, and logged."""

import logging
from contextlib import suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access import logins
from testbed.models import LoginCount

pytestmark = pytest.mark.django_db

JSON = {"Accept": "application/json"}


def attempt(name="olive", password="no", address="192.0.2.1", path="/login/"):  # noqa: S107
    words = {"username": name, "password": password}
    return Client(REMOTE_ADDR=address).post(path, words, headers=JSON)


def exhaust(**how):
    for _ in range(logins.PER_ACCOUNT_AND_ADDRESS):
        assert attempt(**how).status_code == 200


def test_locked_account_says_when_to_try_again(owner: User):
    exhaust()

    answer = attempt(password="olive-pass")

    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    assert answer.json()["hint"].startswith("Try again at ")


def test_names_that_differ_in_case_are_limited_together(owner: User):
    for number in range(logins.PER_ACCOUNT_AND_ADDRESS):
        attempt(name="olive" if number % 2 else "OLIVE")

    assert attempt(name="Olive").status_code == 429


def test_no_password_is_hashed_for_a_locked_account(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    hashed = []
    monkeypatch.setattr(
        "allauth.account.adapter.authenticate", lambda *a, **k: hashed.append(k)
    )
    exhaust()

    attempt()

    assert len(hashed) == logins.PER_ACCOUNT_AND_ADDRESS


def test_attempt_is_counted_before_its_password_is_hashed(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    counted = []

    def authenticate(*args: object, **words: object) -> None:
        counted.append(LoginCount.objects.get(subject="account olive").attempts)

    monkeypatch.setattr("allauth.account.adapter.authenticate", authenticate)
    attempt()

    assert counted == [1]


def test_account_is_not_locked_for_other_addresses(owner: User):
    exhaust()

    answer = attempt(password="olive-pass", address="192.0.2.2")

    assert answer.status_code == 302


def test_account_is_locked_after_attempts_from_many_addresses(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logins, "PER_ACCOUNT", 3)
    for number in range(3):
        attempt(address=f"192.0.2.{number}")

    answer = attempt(password="olive-pass", address="192.0.2.9")

    assert answer.status_code == 429


def test_address_is_locked_after_attempts_at_many_accounts(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logins, "PER_ADDRESS", 3)
    for number in range(3):
        attempt(name=f"user-{number}")

    answer = attempt(password="olive-pass")

    assert answer.status_code == 429
    assert not LoginCount.objects.filter(subject__endswith="account olive").exists()


def test_users_of_one_address_sign_in_without_end(
    owner: User, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logins, "PER_ADDRESS", 2)

    answers = [attempt(password="olive-pass") for _ in range(20)]

    assert {answer.status_code for answer in answers} == {302}


def test_lock_ends_with_its_time(owner: User):
    exhaust()
    LoginCount.objects.all().update(since=logins.timezone.now() - timedelta(minutes=15))

    answer = attempt(password="olive-pass")

    assert answer.status_code == 302


def test_admin_unlocks_by_deleting_the_count(owner: User, page: Client):
    exhaust()
    pair = LoginCount.objects.get(subject="address 192.0.2.1, account olive")

    page.post(f"/admin/testbed/logincount/{pair.pk}/delete/", {"post": "yes"})

    assert attempt(password="olive-pass").status_code == 302


def test_admin_pages_have_no_form_of_their_own(admin: User):
    answer = Client().get("/admin/login/?next=/admin/auth/")
    posted = attempt(name="ada", password="ada-pass", path="/admin/login/")

    assert answer["Location"] == "/login/?next=/admin/auth/"
    assert (posted.status_code, posted["Location"]) == (302, "/login/")
    assert "sessionid" not in posted.cookies


def test_outcome_is_logged(owner: User, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger="testbed.access.record")

    attempt(name="olive\nforged")
    attempt(password="olive-pass")

    assert caplog.messages == [
        r"act sign_in by 'olive\nforged' from 192.0.2.1: could not sign in (failed)",
        "act sign_in by olive from 192.0.2.1: signed in",
    ]


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 400])
def test_strange_name_is_refused_like_another(name: str):
    assert attempt(name=name).status_code == 200


def test_name_that_looks_like_a_pair_counts_for_itself():
    pair = logins.Attempt("olive", "192.0.2.1")
    typed = logins.Attempt("olive, address 192.0.2.1", "192.0.2.2")

    assert pair.limits.keys().isdisjoint(typed.limits)


WORDS = {"username": "olive", "password": "olive-pass"}


def test_session_of_before_the_sign_in_is_not_the_one_after(
    owner: User, mails: list[str]
):
    """A key that another planted in the browser signs its owner in nowhere."""
    client = Client()
    client.get("/password/reset/key/1/some-key/")
    session = client.session
    session["planted"] = "yes"
    session.save()
    client.cookies["sessionid"] = planted = session.session_key
    thief = Client()
    thief.cookies["sessionid"] = planted

    client.post("/login/", WORDS)

    assert client.cookies["sessionid"].value != planted
    assert [client.get("/").status_code, thief.get("/").status_code] == [200, 302]


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "http:///evil.example",
        "https:evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "http://testserver:81/",
        "http://evil.lab.example/",
        "http://lab.example/",
        " //evil.example",
        "/\t/evil.example",
    ],
)
def test_sign_in_leads_to_no_other_site(owner: User, settings: object, target: str):
    settings.ALLOWED_HOSTS = [".lab.example", "testserver"]
    settings.CSRF_TRUSTED_ORIGINS = ["http://lab.example"]

    signed_in = Client().post("/login/", WORDS | {"next": target})
    signed_out = Client().post("/logout/", {"next": target})

    assert signed_in["Location"] == "/"
    assert signed_out["Location"] == "/login/"


def test_sign_in_leads_where_the_user_wanted(owner: User):
    page = Client().get("/login/?next=/hosts/%3Fa=1").content.decode()
    answer = Client().post("/login/", WORDS | {"next": "/hosts/?a=1"})

    assert 'name="next" value="/hosts/?a=1"' in page
    assert answer["Location"] == "/hosts/?a=1"


def test_page_of_another_site_signs_nobody_in(owner: User):
    client = Client(enforce_csrf_checks=True)

    assert client.post("/login/", WORDS).status_code == 403
    assert "sessionid" not in client.cookies


def test_deactivated_user_learns_no_more_than_a_stranger(owner: User):
    User.objects.filter(pk=owner.pk).update(is_active=False)

    found = [
        Client().post("/login/", words).content.decode().count("do not belong together")
        for words in (WORDS, {"username": "nobody", "password": "no"})
    ]

    assert found == [1, 1]


def test_user_who_is_deactivated_is_signed_out(owner: User):
    client = Client()
    client.post("/login/", WORDS)
    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert client.get("/").status_code == 302


def test_name_is_compared_as_accounts_are_written(owner: User):
    wide = "\uff4flive"  # NFKC makes it olive

    assert Client().post("/login/", WORDS | {"username": wide}).status_code == 302
    assert Client().post("/login/", WORDS | {"username": "OLIVE"}).status_code == 200


def test_signing_out_takes_a_form(owner: User):
    client = Client()
    client.post("/login/", WORDS)

    assert client.get("/logout/").status_code == 405
    assert client.get("/").status_code == 200


def test_network_of_one_client_locks_no_account_for_others(owner: User):
    """A client of IPv6 has a network of 2**64 addresses."""
    for number in range(1, 12):
        for _ in range(logins.PER_ACCOUNT_AND_ADDRESS):
            with suppress(logins.TooManyLogins):
                logins.Attempt("olive", f"2001:db8:0:1::{number:x}").count()

    assert attempt(password="olive-pass", address="192.0.2.1").status_code == 302
