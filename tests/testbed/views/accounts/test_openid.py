"""Sign-in with OpenID Connect, against a real provider in a process of its own."""

import html
import re
import ssl
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from testbed.environment import OpenID, env_openid
from testbed.models import Entry
from testbed.views.accounts.openid import OpenIDAdapter
from tests.testbed.certificates import Authority
from tests.testbed.migrating import migrated
from tests.testbed.notifications.receiver import receiving
from tests.testbed.openid_provider import openid_provider

USERS = {
    "s-nina": {
        "preferred_username": "nina",
        "name": "Nina N",
        "email": "nina@uni.example",
        "email_verified": True,
        "groups": ["students"],
    },
    "s-ada": {  # the name and the address of a lab admin here
        "preferred_username": "ada",
        "name": "Ada Other",
        "email": "ada@lab.example",
        "email_verified": True,
    },
    "s-root": {"preferred_username": "rita", "groups": ["staff", "lab-admins"]},
    "s-loose": {
        "preferred_username": "loose",
        "email": "loose@uni.example",
        "email_verified": False,
    },
}
DOCS = Path(__file__).resolve().parents[4] / "docs" / "sign-in.md"
Enter = Callable[..., object]


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a provider with these users."""
    with openid_provider(USERS) as address:
        yield address


def documented() -> OpenID:
    """Return the settings of the example in docs/sign-in.md."""
    block = DOCS.read_text().partition("```ini\n")[2].partition("```")[0]
    with pytest.MonkeyPatch.context() as environment:
        for line in block.splitlines():
            environment.setenv(*line.split("=", 1))
        return env_openid("TESTBED_OIDC")


@pytest.fixture
def lab(provider: str, settings: object) -> object:
    """This product's settings, with the provider."""
    settings.OPENID = documented()._replace(url=provider, admin_group="")
    settings.SOCIALACCOUNT_PROVIDERS = settings.OPENID.providers
    return settings


def use(lab: object, url: str) -> None:
    """Sign in with this provider from here on."""
    lab.OPENID = lab.OPENID._replace(url=url)
    lab.SOCIALACCOUNT_PROVIDERS = lab.OPENID.providers


def way_there(client: Client, **form: str) -> str:
    """Ask to sign in; return the address of the provider's page."""
    asked = client.post("/login/openid/", form)
    assert asked.status_code == 200, asked.content
    page = asked.content.decode()
    (way,) = re.findall(r'<a class="button[^"]*" href="(http[^"]+)"', page)
    assert f'http-equiv="refresh" content="0; url={way}"' in page
    return html.unescape(way)


@pytest.fixture
def enter(lab: object) -> Enter:
    """Sign in at the provider; return the answer of this product."""

    def sign_in(sub: str, client: Client, **form: str):
        answer = httpx.post(way_there(client, **form), data={"sub": sub})
        assert answer.status_code in (302, 303), answer.text
        back = answer.headers["location"]
        return client.get(re.sub(r"^http://testserver", "", back))

    return sign_in


def test_user_gets_an_account_at_the_first_sign_in(enter: Enter, db: None):
    client, again = Client(), Client()

    first, second = enter("s-nina", client), enter("s-nina", again)

    nina = User.objects.get()
    assert [first["Location"], second["Location"]] == ["/", "/"]
    assert [client.get("/").status_code, again.get("/").status_code] == [200, 200]
    assert (nina.username, nina.email) == ("nina", "nina@uni.example")
    assert (nina.is_superuser, nina.has_usable_password()) == (False, False)
    said = Entry.objects.filter(user="nina").order_by("pk")
    whats = [entry.what for entry in said]
    assert whats == ["got an account by University", "signed in", "signed in"]


def test_user_with_the_name_and_address_of_a_lab_admin_is_another_one(
    enter: Enter, admin: User
):
    User.objects.filter(pk=admin.pk).update(email="ada@lab.example")

    client = Client()
    enter("s-ada", client)

    other = User.objects.exclude(pk=admin.pk).get()
    assert (other.username == "ada", other.is_superuser, other.email) == (
        False,
        False,
        "",
    )
    assert client.get("/record/").status_code == 403


def test_address_that_is_not_proved_is_not_kept(enter: Enter, db: None):
    enter("s-loose", Client())

    assert User.objects.get().email == ""


def test_accounts_are_made_only_where_that_is_allowed(
    enter: Enter, lab: object, db: None
):
    lab.OPENID = lab.OPENID._replace(creates=False)

    answer = enter("s-nina", Client())

    assert answer.status_code == 403
    assert "There is no account for this identity" in answer.content.decode()
    assert not User.objects.exists()


def test_group_makes_lab_admins_and_takes_it_back(enter: Enter, lab: object, db: None):
    lab.OPENID = lab.OPENID._replace(admin_group="lab-admins")
    enter("s-root", Client())
    enter("s-nina", Client())
    found = dict(User.objects.values_list("username", "is_superuser"))

    lab.OPENID = lab.OPENID._replace(admin_group="other")
    enter("s-root", Client())

    assert found == {"rita": True, "nina": False}
    assert not User.objects.get(username="rita").is_superuser
    assert Entry.objects.filter(what__contains="is no lab admin any more").exists()


def test_groups_of_the_provider_decide_groups_here(enter: Enter, lab: object, db: None):
    pairs = (("course", "students"), ("staff", "lab-admins"), ("staff", "assistants"))
    lab.OPENID = lab.OPENID._replace(groups=pairs)
    Group.objects.create(name="own")
    enter("s-root", Client())
    rita = User.objects.get(username="rita")
    rita.groups.add(Group.objects.get(name="own"))
    joined = names_of(rita)

    lab.OPENID = lab.OPENID._replace(groups=(("staff", "other"),))
    enter("s-root", Client())

    assert joined == ["own", "staff"]
    assert names_of(rita) == ["own"]
    assert not Group.objects.filter(name="course").exists()


def names_of(user: User) -> list[str]:
    return list(user.groups.order_by("name").values_list("name", flat=True))


def test_without_a_group_nobody_becomes_a_lab_admin(enter: Enter, db: None):
    enter("s-root", Client())

    assert not User.objects.get().is_superuser


def test_user_binds_an_identity_and_signs_in_with_it(enter: Enter, owner: User):
    client, later = Client(), Client()
    client.force_login(owner)
    client.post("/account/confirm/", {"password": "olive-pass"})

    enter("s-nina", client, process="connect", next="/account/")
    enter("s-nina", later)

    assert User.objects.count() == 1
    assert "olive" in later.get("/account/").content.decode()
    assert Entry.objects.filter(what="bound an identity of University").exists()


def test_binding_takes_the_password_again(enter: Enter, owner: User):
    client = Client()
    client.force_login(owner)

    answer = enter("s-nina", client, process="connect")

    assert answer["Location"].startswith("/account/confirm/")


def test_identity_of_another_account_is_not_bound(enter: Enter, owner: User):
    enter("s-nina", Client())
    client = Client()
    client.force_login(owner)
    client.post("/account/confirm/", {"password": "olive-pass"})

    enter("s-nina", client, process="connect")

    later = Client()
    enter("s-nina", later)
    assert "Account nina" in later.get("/account/").content.decode()


def test_same_id_at_another_provider_is_another_user(
    enter: Enter, lab: object, provider: str, db: None
):
    client = Client()
    enter("s-nina", client)
    with openid_provider(USERS) as another:
        use(lab, another)
        enter("s-nina", Client())
        page = client.get("/account/").content.decode()
        use(lab, provider)
        enter("s-nina", Client())

    assert User.objects.count() == 2
    assert set(User.objects.values_list("socialaccount__uid", flat=True)) == {
        sha256(f"{issuer} s-nina".encode()).hexdigest()
        for issuer in (provider, another)
    }
    assert f'Of an earlier provider,\n            <span class="path">{provider}' in page
    assert "Bind University" in page


def test_last_identity_that_signs_in_is_kept(enter: Enter, db: None):
    client = Client()
    enter("s-nina", client)
    old = SocialAccount.objects.get()
    more = {"provider": "openid", "uid": "x", "extra_data": {}}
    other = SocialAccount.objects.create(user=old.user, **more)

    for row in (old, other):
        client.post("/account/identity/unbind/", {"identity": row.pk})

    assert SocialAccount.objects.get() == old


def test_identity_is_unbound_after_the_provider_was_taken_away(
    enter: Enter, lab: object, db: None
):
    client = Client()
    enter("s-nina", client)
    lab.OPENID = OpenID()
    lab.SOCIALACCOUNT_PROVIDERS = lab.OPENID.providers

    row = SocialAccount.objects.get()
    client.post("/account/identity/unbind/", {"identity": row.pk})

    assert not SocialAccount.objects.exists()


def test_answer_about_another_user_than_the_token_is_refused(
    enter: Enter, monkeypatch: pytest.MonkeyPatch, db: None
):
    """A provider's page of users says another `sub` than the signed token."""
    fetch = OpenIDConnectOAuth2Adapter._fetch_user_info
    monkeypatch.setattr(
        OpenIDConnectOAuth2Adapter,
        "_fetch_user_info",
        lambda self, token: fetch(self, token) | {"sub": "s-root"},
    )

    answer = enter("s-nina", Client())

    assert answer.status_code == 403
    assert not User.objects.exists()


@pytest.mark.usefixtures("newest")
def test_identities_of_before_keep_their_accounts():
    migrated([("testbed", "0053_invitations")])
    for name, data in (
        ("nina", {"id_token": {"iss": "https://a.example", "sub": "s"}}),
        ("rita", {"userinfo": {"sub": "r"}}),
        ("old", {}),
    ):
        user = User.objects.create_user(name)
        sub = data.get("userinfo", data.get("id_token", {})).get("sub", "o")
        SocialAccount.objects.create(
            user=user, provider="openid", uid=sub, extra_data=data
        )

    migrated([("testbed", "0056_sign_in")])
    uids = SocialAccount.objects.order_by("pk").values_list("uid", flat=True)
    forward = list(uids)
    migrated([("testbed", "0053_invitations")])
    back = list(uids.all())

    assert forward == [sha256(b"https://a.example s").hexdigest(), "r", "o"]
    assert back == ["s", "r", "o"]


def test_deactivated_user_stays_out(enter: Enter, db: None):
    enter("s-nina", Client())
    User.objects.update(is_active=False)

    client = Client()
    answer = enter("s-nina", client)

    assert "This account is deactivated" in answer.content.decode()
    assert client.get("/").status_code == 302


def test_answer_that_was_not_asked_for_signs_nobody_in(enter: Enter, db: None):
    """An attacker's own code, in the browser of another user."""
    client = Client()

    answer = client.get("/login/openid/callback/?code=abc&state=planted")

    assert answer.status_code == 403
    assert client.get("/").status_code == 302


def test_user_who_cancels_there_reads_so(lab: object, db: None):
    client = Client()
    (state,) = parse_qs(urlsplit(way_there(client)).query)["state"]

    back = f"/login/openid/callback/?error=access_denied&state={state}"
    answer = client.get(back)

    assert "You cancelled the sign-in." in answer.content.decode()


def test_sign_in_leads_to_no_other_site(enter: Enter, db: None):
    answer = enter("s-nina", Client(), next="https://evil.example/")

    assert answer["Location"] == "/"


def test_page_of_another_site_begins_no_sign_in(lab: object, db: None):
    client = Client(enforce_csrf_checks=True)

    assert client.post("/login/openid/").status_code == 403


def test_provider_that_is_away_is_named(lab: object, db: None):
    lab.OPENID = lab.OPENID._replace(url="http://127.0.0.1:1")
    lab.SOCIALACCOUNT_PROVIDERS = lab.OPENID.providers

    answer = Client().post("/login/openid/")

    assert answer.status_code == 403
    assert "University does not answer" in answer.content.decode()


def test_sign_in_page_offers_it_where_it_is_set_up(lab: object, db: None):
    assert "Sign in with University" in Client().get("/login/").content.decode()

    lab.OPENID = OpenID()

    assert "Sign in with" not in Client().get("/login/").content.decode()


def test_documented_settings_are_read():
    assert documented() == OpenID(
        name="University",
        url="http://127.0.0.1:9400",
        client_id="testbed",
        secret="secret",
        admin_group="lab-admins",
    )


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"URL": "login.uni.example"}, "use the provider's address"),
        ({"URL": "https://login.uni.example"}, "_CLIENT_ID and"),
        ({"URL": "https://a.example", "CLIENT_ID": "a"}, "_CLIENT_SECRET as well"),
        ({"URL": "https://a.example", "GROUPS": "course"}, "pairs of a group here"),
        ({"URL": "https://a.example", "GROUPS": "=students"}, "pairs of a group here"),
    ],
)
def test_settings_that_cannot_be_stop_the_start(
    variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in variables.items():
        monkeypatch.setenv(f"X_{name}", value)

    with pytest.raises(ImproperlyConfigured, match=reason):
        env_openid("X")


def test_page_says_nothing_of_what_the_provider_answers(lab: object, db: None):
    client = Client()
    state = parse_qs(urlsplit(way_there(client)).query)["state"][0]

    answer = client.get(f"/login/openid/callback/?code=wrong&state={state}")

    assert answer.status_code == 403
    assert "Error retrieving access token" not in answer.content.decode()


def test_provider_with_a_certificate_of_the_labs_own_authority_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    authority = Authority.new()
    (tmp_path / "ca.pem").write_text(authority.pem)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(authority.sign(tmp_path / "server.pem", "localhost"))

    with receiving(tls) as server, OpenIDAdapter().get_requests_session() as session:
        answer = session.post(server.url, json={})

    assert answer.status_code == 204
