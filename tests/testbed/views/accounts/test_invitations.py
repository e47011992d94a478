"""Links that make an account: invitations, registration, and the first admin."""

import re
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from testbed.access import logins
from testbed.accounts.invitations import NotInvited, use, withdraw
from testbed.models import Entry, Invitation
from testbed.models.accounts.invitations import hashed
from tests.testbed.views.accounts.conftest import Link

NINA = "nina@uni.example"
FORM = {"username": "nina", "password1": "first-pass-7", "password2": "first-pass-7"}


def link_in(page: str) -> str:
    (path,) = re.findall(r"(/invitations/[\w-]{43}/)", page)
    return path


@pytest.fixture
def link(page: Client) -> str:
    """The link of an invitation, where no mail is set up."""
    return link_in(page.post("/invitations/", {"email": NINA}).content.decode())


def follow(link: str, **form: str):
    """Open a link and send the form; return the answer."""
    client = Client()
    client.get(link)
    return client.post("/signup/", FORM | form)


def test_invited_user_makes_an_account_and_is_signed_in(link: str):
    client = Client()

    form = client.get(link, follow=True)
    answer = client.post("/signup/", FORM)

    nina = User.objects.get(username="nina")
    assert "New account" in form.content.decode()
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    assert (nina.email, nina.is_staff, nina.is_superuser) == (NINA, False, False)
    assert Invitation.objects.get().account == "nina"
    said = Entry.objects.filter(act="invitations").order_by("pk")
    assert [(row.user, row.what) for row in said] == [
        ("ada", f"invited {NINA}"),
        ("nina", "made the account, invited by ada"),
    ]


def test_link_is_shown_once_and_kept_as_a_hash(page: Client, link: str):
    again = page.get("/invitations/").content.decode()
    row = Invitation.objects.get()

    token = link.split("/")[2]
    assert token not in again
    assert row.token_hash == hashed(token)


def test_link_that_is_shown_is_whole(page: Client):
    """A lab without TESTBED_TRUSTED_ORIGINS knows no address but its admin's."""
    shown = page.post("/invitations/", {"email": NINA}).content.decode()

    assert f">http://testserver{link_in(shown)}</pre>" in shown


def test_invitation_is_mailed_where_mail_is_set_up(page: Client, mailed_link: Link):
    shown = page.post("/invitations/", {"email": NINA}, follow=True).content.decode()

    assert f"The invitation was mailed to {NINA}" in shown
    assert "/invitations/" + hashed("")[:3] not in shown
    assert follow(mailed_link()).status_code == 302
    assert User.objects.filter(username="nina", email=NINA).exists()


def test_link_is_shown_when_the_mail_fails(page: Client, mails: list[str]):
    answer = page.post("/invitations/", {"email": "nobody@uni.example"})

    text = answer.content.decode()
    assert "The mail server did not take the mail" in text
    assert follow(link_in(text)).status_code == 302


def test_invitation_works_once(link: str):
    follow(link)

    opened = Client().get(link)
    second = follow(link, username="noah")

    assert opened.status_code == 404
    assert "This is no open invitation" in opened.content.decode()
    assert "An account needs an invitation" in second.content.decode()
    assert not User.objects.filter(username="noah").exists()


def test_two_forms_of_one_invitation_make_one_account(link: str):
    first, second = Client(), Client()
    for client in (first, second):
        client.get(link)

    statuses = [
        client.post("/signup/", FORM | {"username": name}).status_code
        for client, name in ((first, "nina"), (second, "noah"))
    ]

    assert statuses == [302, 200]  # the second one is told that it was used
    assert not User.objects.filter(username="noah").exists()


@pytest.mark.parametrize("opened_before", [False, True])
def test_invitation_ends(link: str, opened_before: bool):
    client = Client()
    if opened_before:
        client.get(link)
    Invitation.objects.update(ends_at=timezone.now() - timedelta(seconds=1))

    opened, sent = client.get(link), client.post("/signup/", FORM)

    assert (opened.status_code, sent.status_code) == (404, 200)
    assert not User.objects.filter(username="nina").exists()


def test_withdrawn_invitation_is_void(page: Client, link: str):
    page.post("/invitations/withdraw/", {"invitation": Invitation.objects.get().pk})

    assert Client().get(link).status_code == 404
    assert Entry.objects.filter(what=f"withdrew invitation of {NINA}").exists()


def test_invitation_that_is_used_meanwhile_is_not_withdrawn(link: str, admin: User):
    row = Invitation.objects.get()
    follow(link)

    with pytest.raises(NotInvited, match="was used"):
        withdraw(row, admin)

    assert Invitation.objects.get().account == "nina"
    assert not Entry.objects.filter(what__startswith="withdrew").exists()


def test_account_has_the_invited_address_whatever_is_sent(link: str):
    follow(link, email="mallory@evil.example", is_superuser="1", makes_admin="1")

    nina = User.objects.get(username="nina")
    assert (nina.email, nina.is_superuser) == (NINA, False)


@pytest.mark.parametrize("name", ["ada", "ADA", "a b", "nina/", ""])
def test_name_that_is_taken_or_wrong_is_refused_at_its_field(link: str, name: str):
    answer = follow(link, username=name)

    assert answer.status_code == 200
    assert "field--wrong" in answer.content.decode()
    assert Invitation.objects.get().is_open


def test_weak_password_is_refused(link: str):
    answer = follow(link, password1="12345678", password2="12345678")

    assert "This password is too common" in answer.content.decode()
    assert Invitation.objects.get().is_open


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize("token", ["%00", "a" * 3000, "..", "withdrawn", "%2e%2e"])
def test_link_that_is_none_is_refused(token: str):
    assert Client().get(f"/invitations/{token}/").status_code in (404, 301)


@pytest.mark.usefixtures("as_postgresql")
@pytest.mark.parametrize("email", ["a\0@uni.example", "\0", "a\n@uni.example"])
def test_hostile_address_is_not_invited(page: Client, email: str):
    assert page.post("/invitations/", {"email": email}).status_code == 422


def test_account_needs_an_invitation(db: None):
    answer = Client().post("/signup/", FORM)

    assert "An account needs an invitation" in answer.content.decode()
    assert not User.objects.exists()


def test_known_and_wrong_addresses_are_not_invited(page: Client, admin: User):
    User.objects.filter(pk=admin.pk).update(email="ada@uni.example")

    answers = [
        page.post("/invitations/", {"email": email})
        for email in ("ADA@uni.example", "nobody", "", f"{'a' * 250}@uni.example")
    ]

    assert [answer.status_code for answer in answers] == [422] * 4
    assert not Invitation.objects.exists()


class TestRegistration:
    @pytest.fixture(autouse=True)
    def open(self, settings: object, mails: list[str], db: None) -> None:
        settings.REGISTRATION_DOMAINS = frozenset({"uni.example"})

    def register(self, email: str = NINA, address: str = "192.0.2.1"):
        return Client(REMOTE_ADDR=address).post("/register/", {"email": email})

    def test_address_of_the_domain_gets_a_link(self, mailed_link: Link):
        self.register("Nina@UNI.example")

        assert follow(mailed_link()).status_code == 302
        assert User.objects.get(username="nina").email == "Nina@UNI.example"

    @pytest.mark.parametrize(
        "email",
        [
            "nina@evil.example",
            "nina@cs.uni.example",
            "nina@uni.example.evil.example",
            "nina@evil.example,x@uni.example",
            "nina@evil.example\n@uni.example",
            '"nina@evil.example"@uni.example.',
        ],
    )
    def test_other_addresses_are_refused(self, mails: list[str], email: str):
        answer = self.register(email)

        assert "field--wrong" in answer.content.decode()
        assert mails == []

    def test_answer_tells_of_no_account(self, mails: list[str]):
        User.objects.create_user("olga", email="olga@uni.example")

        known, unknown = self.register("olga@uni.example"), self.register()

        shown = [
            re.sub('X-CSRFToken": "[^"]+"', "", answer.content.decode())
            for answer in (known, unknown)
        ]
        assert "A mail with a link is on its way" in shown[0]
        assert shown[0] == shown[1]
        assert "and have one: olga" in mails[0]
        assert Invitation.objects.count() == 1

    def test_mailbox_is_not_flooded(self, mails: list[str]):
        statuses = [self.register().status_code for _ in range(6)]

        assert statuses == [200] * logins.MAILS_PER_MAILBOX + [429]

    def test_it_is_off_by_itself(self, settings: object):
        settings.REGISTRATION_DOMAINS = frozenset()

        answer = self.register()

        assert answer.status_code == 404
        assert "/register/" not in Client().get("/login/").content.decode()

    def test_sign_in_leads_there(self):
        assert "/register/" in Client().get("/login/").content.decode()


class TestFirstAdmin:
    def make(self) -> str:
        return link_in(self.printed())

    def printed(self, *options: str) -> str:
        out = StringIO()
        call_command("first_admin", *options, stdout=out)
        return out.getvalue()

    def test_link_without_an_address_says_so(self, page: Client, settings: object):
        settings.CSRF_TRUSTED_ORIGINS = []
        User.objects.all().delete()
        err = StringIO()

        call_command("first_admin", stdout=StringIO(), stderr=err)

        assert "Put the address of this lab before it" in err.getvalue()

    def test_start_says_what_the_link_is_for(self, db: None):
        words = self.printed("--at-start")

        follow(link_in(words), username="root")

        assert "makes the first" in words
        assert User.objects.get(username="root").is_superuser

    def test_start_with_a_lab_admin_prints_nothing(self, admin: User):
        assert self.printed("--at-start") == ""

    def test_link_makes_a_lab_admin_once(self, db: None):
        link = self.make()

        follow(link, username="root")

        assert User.objects.get(username="root").is_superuser
        assert Client().get(link).status_code == 404

    def test_there_is_none_with_a_lab_admin(self, admin: User):
        with pytest.raises(CommandError, match="There is a lab admin already"):
            self.make()

    def test_link_is_void_once_there_is_a_lab_admin(self, db: None):
        link = self.make()
        User.objects.create_superuser("ada")

        answer = follow(link, username="root")

        assert answer.status_code == 409
        assert not User.objects.filter(username="root").exists()

    def test_next_link_makes_the_one_before_void(self, db: None):
        first, second = self.make(), self.make()

        statuses = [Client().get(link).status_code for link in (first, second)]

        assert statuses == [404, 302]


def test_one_address_makes_one_account(db: None):
    """Each request for a link makes one, and all of them are open for seven days."""
    rows = [Invitation.objects.make(NINA, "")[0] for _ in range(3)]
    use(rows[0].pk, User(username="nina"))

    for number, row in enumerate(rows[1:]):
        with pytest.raises(NotInvited):
            use(row.pk, User(username=f"nina-{number}"))

    assert User.objects.count() == 1


def test_open_link_is_in_no_log(link: str, caplog: pytest.LogCaptureFixture):
    """Programs that preview links in mails ask with HEAD."""
    token = link.split("/")[2]

    Client().head(link)

    assert token not in caplog.text


def test_open_links_are_in_no_access_log():
    """Daphne writes the path of each request to standard output, unless it is told not to."""
    checkout = Path(__file__).resolve().parents[4]
    unit = (checkout / "deploy" / "testbed-web.service").read_text()
    image = (checkout / "Dockerfile").read_text()

    assert "--verbosity 0" in unit
    assert '"--verbosity", "0"' in image


def test_account_that_looks_like_another_is_refused_at_its_field(link: str):
    """The ligature: both names are one for the sign-in, which writes names as NFKC."""
    User.objects.create_user("finn", password="finn-pass-7")

    follow(link, username="\ufb01nn")

    assert not User.objects.filter(username="\ufb01nn").exists()


def test_invited_user_signs_in_again_whatever_the_name_is(link: str):
    follow(link, username="\ufb01nn")

    words = {"username": "\ufb01nn", "password": FORM["password1"]}
    answer = Client().post("/login/", words)

    assert answer.status_code == 302
