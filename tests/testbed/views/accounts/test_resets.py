"""A new password by mail: for whom, how often, and what a stranger learns."""

from email import message_from_string

import pytest
from django.contrib.auth.models import User
from django.test import Client

from testbed.access import logins
from testbed.models import Entry
from tests.testbed.views.accounts.conftest import Link

FORM = "/password/reset/"
NEW = {"password1": "another-pass-7", "password2": "another-pass-7"}


@pytest.fixture
def olive(owner: User) -> User:
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")
    return owner


def ask(email: str = "olive@lab.example", address: str = "192.0.2.1", **how: str):
    return Client(REMOTE_ADDR=address).post(FORM, {"email": email}, **how)


def choose(link: str, client: Client | None = None) -> str:
    """Follow a link, send a new password; return the page that follows."""
    client = client or Client()
    form = client.get(link, follow=True)
    path = form.redirect_chain[-1][0] if form.redirect_chain else link
    return client.post(path, NEW, follow=True).content.decode()


def test_new_password_is_chosen_with_the_mailed_link(olive: User, mailed_link: Link):
    ask("Olive@LAB.example")

    page = choose(mailed_link())

    assert "Your password was changed" in page
    assert Client().login(username="olive", password="another-pass-7")
    said = Entry.objects.filter(act="password").order_by("pk")
    assert [(row.user, row.what, row.address) for row in said] == [
        ("olive", "was sent a link for a new password", "192.0.2.1"),
        ("olive", "chose a new password by mail", "127.0.0.1"),
    ]


def test_link_works_once(olive: User, mailed_link: Link):
    ask()
    choose(mailed_link())

    assert "This link is no longer valid" in choose(mailed_link())


def test_link_is_void_after_a_change_of_password(olive: User, mailed_link: Link):
    ask()
    olive.set_password("changed-pass-1")
    olive.save()

    assert "This link is no longer valid" in choose(mailed_link())


def test_link_is_void_after_a_sign_in(olive: User, mailed_link: Link):
    ask()
    words = {"username": "olive", "password": "olive-pass"}
    assert Client().post("/login/", words).status_code == 302

    assert "This link is no longer valid" in choose(mailed_link())


def test_link_ends_with_its_time(olive: User, mailed_link: Link, settings: object):
    ask()
    settings.PASSWORD_RESET_TIMEOUT = -1

    assert "This link is no longer valid" in choose(mailed_link())


def test_reset_ends_all_sessions(olive: User, mailed_link: Link):
    client = Client()
    client.force_login(olive)
    ask()
    choose(mailed_link())

    assert client.get("/").status_code == 302


def test_page_says_once_that_all_sessions_ended(olive: User, mailed_link: Link):
    ask()

    said = choose(mailed_link())

    assert "All sessions of your account have ended." in said
    assert "Your other sessions have ended." not in said


def test_stranger_cannot_tell_whether_there_is_an_account(
    olive: User, mails: list[str]
):
    known, unknown = ask(), ask("stranger@lab.example")

    assert (known.status_code, known["Location"]) == (302, "/password/reset/done/")
    assert (unknown.status_code, unknown["Location"]) == (302, known["Location"])
    assert len(mails) == 1


def test_page_asks_the_database_for_no_account(
    olive: User, mails: list[str], django_assert_num_queries, monkeypatch
):
    """A worker looks for it, so that the page answers as fast in both cases."""
    monkeypatch.setattr(logins.LoginCount.objects, "add", lambda subject: Counted())
    monkeypatch.setattr("testbed.celery.app.send_task", lambda *a, **k: None)

    with django_assert_num_queries(0):
        ask()


class Counted:
    attempts = 1


def test_deactivated_user_and_user_without_a_password_get_no_mail(
    olive: User, mails: list[str]
):
    User.objects.filter(pk=olive.pk).update(is_active=False)
    elsewhere = User.objects.create_user("else", email="else@lab.example")
    elsewhere.set_unusable_password()
    elsewhere.save()

    ask()
    ask("else@lab.example")

    assert mails == []


def test_mail_that_fails_is_logged_alone(
    owner: User, mails: list[str], caplog: pytest.LogCaptureFixture
):
    User.objects.filter(pk=owner.pk).update(email="nobody@lab.example")

    answer = ask("nobody@lab.example")

    assert answer["Location"] == "/password/reset/done/"
    assert "The mail to nobody@lab.example was not sent." in caplog.text
    assert "/password/reset/key/" not in caplog.text


def test_link_leads_to_the_lab_whatever_host_asked(
    olive: User, mails: list[str], settings: object
):
    settings.ALLOWED_HOSTS = ["*"]

    ask(headers={"Host": "evil.example", "X-Forwarded-Host": "evil.example"})

    mail = message_from_string(mails[0])
    assert mail["To"] == "olive@lab.example"
    assert "https://lab.example/password/reset/key/" in mail.get_payload()
    assert "evil" not in mails[0]


@pytest.mark.parametrize("address", ["192.0.2.{}", "192.0.2.1"])
def test_mailbox_is_not_flooded(olive: User, mails: list[str], address: str):
    statuses = [ask(address=address.format(number)).status_code for number in range(7)]

    assert statuses == [302] * logins.MAILS_PER_MAILBOX + [429] * 2
    assert len(mails) == logins.MAILS_PER_MAILBOX


def test_address_does_not_ask_for_many_mailboxes(
    mails: list[str], monkeypatch: pytest.MonkeyPatch, db: None
):
    monkeypatch.setattr(logins, "MAILS_PER_ADDRESS", 3)

    statuses = [ask(f"user-{number}@lab.example").status_code for number in range(4)]

    assert statuses == [302, 302, 302, 429]


def test_page_says_so_without_a_mail_server(olive: User):
    answer = ask()
    sign_in = Client().get("/login/").content.decode()

    assert answer.status_code == 404
    assert "This server sends no mail" in answer.content.decode()
    assert FORM not in sign_in


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize(
    "parts",
    ["zzzzzzzzzzzzz/a-b", "1/%00", "0/x", "-/-", f"1/{'y' * 2000}", "1/set-password"],
)
def test_link_that_is_none_is_refused(olive: User, mails: list[str], parts: str):
    page = Client().get(f"/password/reset/key/{parts}/").content.decode()

    assert "This link is no longer valid" in page


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize(
    "email", ["", "a\0b@lab.example", "no", f"{'a' * 400}@x.example"]
)
def test_address_that_is_none_is_refused_at_its_field(mails: list[str], email: str):
    assert "field--wrong" in ask(email).content.decode()


def test_page_of_another_site_cannot_ask(olive: User, mails: list[str]):
    client = Client(enforce_csrf_checks=True)

    assert client.post(FORM, {"email": "olive@lab.example"}).status_code == 403
    assert mails == []
