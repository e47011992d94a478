"""Second factors: an app's codes, recovery codes, and the rule for lab admins."""

import time
from collections.abc import Callable

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, hotp_value
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from testbed.access.second_factor import CODES_PER_ACCOUNT
from testbed.access.sessions import user_of_session
from testbed.models import Entry, LoginCount

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
WORDS = {"username": "olive", "password": "olive-pass"}
PERIOD_S = 30
Code = Callable[..., str]


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Begin as a new process, whose cache knows no codes."""
    cache.clear()


@pytest.fixture
def app(owner: User) -> Authenticator:
    """Olive's authenticator app, and the recovery codes that come with it."""
    RecoveryCodes.activate(owner)
    return TOTP.activate(owner, SECRET).instance


def code(ahead: int = 0, secret: str = SECRET) -> str:
    """Return the app's code of now, or of a period later."""
    counter = int(time.time()) // PERIOD_S + ahead
    return format_hotp_value(hotp_value(secret, counter))


def with_password() -> Client:
    client = Client(REMOTE_ADDR="192.0.2.1")
    answer = client.post("/login/", WORDS)
    assert answer["Location"] == "/login/second-factor/"
    return client


def give(client: Client, word: str):
    return client.post("/login/second-factor/", {"code": word})


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def test_password_alone_does_not_sign_in(app: Authenticator):
    client = with_password()

    assert not is_in(client)
    assert user_of_session(client.session.session_key) is None
    assert not Entry.objects.filter(what="signed in").exists()


def test_code_signs_in(app: Authenticator):
    client = with_password()

    give(client, code())

    assert is_in(client)
    assert Entry.objects.filter(what="signed in", user="olive").exists()


def test_code_works_once(app: Authenticator):
    first, second = with_password(), with_password()
    word = code()

    give(first, word)
    page = give(second, f"{word[:3]} {word[3:]}").content.decode()

    assert [is_in(first), is_in(second)] == [True, False]
    assert "This code is wrong, or was used" in page


def test_code_works_once_in_all_processes(app: Authenticator):
    """The next process has a cache of its own, so that a row has to know."""
    first, second = with_password(), with_password()
    word = code()
    give(first, word)
    cache.clear()

    give(second, word)

    assert not is_in(second)


def test_codes_are_not_guessed(app: Authenticator):
    wrong = format_hotp_value((int(code()) + 500_000) % 1_000_000)
    client = with_password()

    statuses = [give(client, wrong).status_code for _ in range(CODES_PER_ACCOUNT)]
    locked = give(client, code())
    elsewhere = give(with_password(), code())

    assert set(statuses) == {200}
    assert (locked.status_code, elsewhere.status_code) == (429, 429)
    assert int(locked["Retry-After"]) > 0
    assert not is_in(client)
    failed = Entry.objects.filter(what="gave a wrong code", outcome="failed")
    assert failed.count() == CODES_PER_ACCOUNT


def test_right_code_forgets_the_wrong_ones(app: Authenticator):
    for ahead in (0, 1):
        client = with_password()
        for _ in range(CODES_PER_ACCOUNT - 1):
            give(client, "000000")
        give(client, code(ahead))
        assert is_in(client)


def test_second_factor_is_asked_of_who_gave_the_password(app: Authenticator):
    client = Client()

    answer = give(client, code())

    assert answer["Location"] == "/login/"
    assert not is_in(client)


def test_recovery_code_works_once(app: Authenticator, owner: User):
    row = Authenticator.objects.get(user=owner, type="recovery_codes")
    word = row.wrap().get_unused_codes()[0]
    first, second = with_password(), with_password()

    give(first, word)
    give(second, word)

    assert [is_in(first), is_in(second)] == [True, False]


def test_recovery_code_of_two_requests_at_once_works_once(
    app: Authenticator, owner: User, monkeypatch: pytest.MonkeyPatch
):
    """Both have read the codes before either wrote that one is used."""
    row = Authenticator.objects.get(user=owner, type="recovery_codes")
    codes = row.wrap().get_unused_codes()
    monkeypatch.setattr(RecoveryCodes, "_mark_code_used", lambda *used: None)
    first, second = with_password(), with_password()

    give(first, codes[0])
    give(second, codes[0])

    assert [is_in(first), is_in(second)] == [True, False]


def test_database_does_not_tell_the_secret(app: Authenticator, settings: object):
    assert SECRET not in str(Authenticator.objects.get(type="totp").data)
    assert TOTP(app).validate_code(code())

    settings.SECRET_KEY = "another"

    assert not TOTP(app).validate_code(code(1))
    assert not TOTP(app).validate_code(code(1, secret=""))


def test_user_sets_up_an_app_and_gets_recovery_codes(
    owner: User, django_capture_on_commit_callbacks
):
    client = Client()
    client.post("/login/", WORDS)
    asked = client.get("/account/app/")
    client.post("/account/confirm/", {"password": "olive-pass"})
    page = client.get("/account/app/").content.decode()
    secret = client.session["mfa.totp.secret"]

    with django_capture_on_commit_callbacks(execute=True):
        codes = client.post("/account/app/", {"code": code(0, secret)}, follow=True)

    assert asked["Location"] == "/account/confirm/?next=%2Faccount%2Fapp%2F"
    assert secret in page
    assert "Recovery codes" in codes.content.decode()
    shown = client.get("/account/").content.decode()
    assert "Remove the app" in shown
    assert "10 recovery codes left" in shown
    assert Entry.objects.filter(what="set up an authenticator app").exists()


def test_change_takes_the_password_again(app: Authenticator, owner: User):
    client = Client()
    client.force_login(owner)

    removed = client.post("/account/app/remove/")
    wrong = client.post("/account/confirm/", {"password": "no"})

    assert removed["Location"].startswith("/account/confirm/")
    assert wrong.status_code == 200
    assert Authenticator.objects.filter(type="totp").exists()


def test_passwords_that_confirm_are_counted(owner: User):
    client = Client(REMOTE_ADDR="192.0.2.1")
    client.force_login(owner)

    statuses = [
        client.post("/account/confirm/", {"password": "no"}).status_code
        for _ in range(11)
    ]

    assert statuses == [200] * 10 + [429]
    assert LoginCount.objects.filter(subject="account olive").exists()


def test_user_removes_the_app_and_its_recovery_codes(app: Authenticator, owner: User):
    client = Client()
    client.force_login(owner)
    client.post("/account/confirm/", {"password": "olive-pass"})

    client.post("/account/app/remove/")

    assert not Authenticator.objects.exists()
    assert Entry.objects.filter(what="removed an authenticator app").exists()


class TestLabAdmins:
    @pytest.fixture(autouse=True)
    def needed(self, settings: object) -> None:
        settings.ADMINS_NEED_SECOND_FACTOR = True

    def test_lab_admin_without_one_gets_to_the_account_alone(self, page: Client):
        led = page.get("/hosts/", follow=True)

        assert led.redirect_chain == [("/account/", 302)]
        assert "A lab admin needs a second factor" in led.content.decode()
        assert page.post("/trash/empty/")["Location"] == "/account/"
        assert user_of_session(page.session.session_key) is None

    def test_lab_admin_with_one_goes_on(self, page: Client, admin: User):
        TOTP.activate(admin, SECRET)

        assert page.get("/hosts/").status_code == 200
        assert user_of_session(page.session.session_key) == admin

    def test_lab_admin_of_a_provider_has_one_there(self, page: Client, admin: User):
        admin.set_unusable_password()
        admin.save()
        page.force_login(admin)

        assert page.get("/hosts/").status_code == 200

    def test_other_users_need_none(self, browser: Client):
        assert browser.get("/hosts/").status_code == 200


@pytest.mark.parametrize(
    "credential", ["", "{}", "[]", "null", '"x"', '{"id": 1}', '{"response": {}}']
)
def test_passkey_that_is_none_is_refused(owner: User, credential: str):
    client = Client()
    client.get("/login/passkey/", headers={"Accept": "application/json"})

    answer = client.post("/login/passkey/", {"credential": credential})

    assert answer["Location"] == "/login/"
    assert not is_in(client)


@pytest.mark.parametrize("sign", ["-", ".", "_"])
def test_code_with_signs_in_it_is_the_same_code(app: Authenticator, sign: str):
    """allauth drops signs before it compares; the row has to know the code without."""
    first, second = with_password(), with_password()
    word = code()
    give(first, word)
    cache.clear()

    give(second, f"{word[:3]}{sign}{word[3:]}")

    assert [is_in(first), is_in(second)] == [True, False]
