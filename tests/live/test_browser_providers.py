"""Sign-in with accounts of elsewhere, in Chromium: OpenID Connect and an LDAP directory.

Both are real servers, and the browser goes the whole way, past the pages' policy, which
lets forms lead to this site alone.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.live.browser import PATIENCE_MS
from tests.live.stack import PASSWORD, Stack, simulated_stack
from tests.live.test_browser_sign_in import (
    confirm,
    give_password,
    is_in,
    picture,
    sign_out,
)
from tests.testbed.directory_server import (
    LAB,
    PEOPLE,
    READER,
    READER_PASSWORD,
    SLAPD,
    directory_server,
)
from tests.testbed.openid_provider import openid_provider

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not SLAPD.exists(), reason="needs Debian's package slapd"),
]
USERS = {"s-rita": {"preferred_username": "rita"}, "s-olga": {}, "s-lena": {}}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A product whose users come from a provider and a directory."""
    folder = tmp_path_factory.mktemp("providers")
    slapd = tmp_path_factory.mktemp("slapd")
    with openid_provider(USERS) as provider, directory_server(slapd) as server:
        server.add("lars", PASSWORD)
        settings = {
            "TESTBED_OIDC_URL": provider,
            "TESTBED_OIDC_NAME": "University",
            "TESTBED_OIDC_CLIENT_ID": "testbed",
            "TESTBED_OIDC_CLIENT_SECRET": "secret",
            "TESTBED_LDAP_URL": server.plain,
            "TESTBED_LDAP_NAME": "the institute",
            "TESTBED_LDAP_CA_FILE": server.ca_file,
            "TESTBED_LDAP_BIND_DN": READER,
            "TESTBED_LDAP_BIND_PASSWORD": READER_PASSWORD,
            "TESTBED_LDAP_BASE": PEOPLE,
            "TESTBED_LDAP_GROUP": LAB,
        }
        with simulated_stack(folder, hosts=1, **settings) as stack:
            stack.add_user("olga")
            yield stack


@pytest.fixture
def visitor(lab: Stack, chromium: Browser) -> Iterator[Page]:
    """A page of a visitor; fails on any error in the console."""
    errors: list[str] = []
    context = chromium.new_context(base_url=lab.url)
    context.set_default_timeout(PATIENCE_MS)
    # The provider's page asks for a style sheet of elsewhere.
    context.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda way: way.abort())
    context.on("console", lambda said: _note(said, lab.url, errors))
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert errors == []


def _note(said: ConsoleMessage, url: str, errors: list[str]) -> None:
    """Keep an error of this product's pages, but for refusals, which are pages."""
    is_refusal = any(text in said.text for text in ("403 (Forb", "409 (Conf"))
    is_ours = said.location["url"].startswith(url)
    # A blocked form has no place of its own, and names the policy.
    is_policy = "Content Security Policy" in said.text
    if said.type == "error" and not is_refusal and (is_ours or is_policy):
        errors.append(said.text)


def authorize(page: Page, sub: str) -> None:
    """Choose a user on the provider's page."""
    expect(page.get_by_role("heading", name="Authorize Client")).to_be_visible()
    page.get_by_role("button", name=sub, exact=True).click()


def test_user_of_the_provider_signs_in(visitor: Page):
    visitor.goto("/")
    picture(visitor, "login-providers")
    visitor.get_by_role("button", name="Sign in with University").click()
    authorize(visitor, "s-rita")

    is_in(visitor)
    visitor.goto("/account/")
    expect(visitor.get_by_role("heading", name="Account rita")).to_be_visible()
    expect(visitor.get_by_text("Signs in to this account")).to_be_visible()
    picture(visitor, "account-provider")


def test_user_binds_an_identity(visitor: Page):
    give_password(visitor, "olga")
    is_in(visitor)
    visitor.goto("/account/")
    visitor.get_by_role("button", name="Bind University").click()
    authorize(visitor, "s-olga")
    confirm(visitor)
    expect(visitor.get_by_text("Signs in to this account")).to_be_visible()
    sign_out(visitor, "olga")

    visitor.get_by_role("button", name="Sign in with University").click()
    authorize(visitor, "s-olga")

    is_in(visitor)
    expect(visitor.locator("summary", has_text="olga")).to_be_visible()


def test_user_who_is_not_signed_in_there_comes_back(visitor: Page):
    """This provider's refusal lacks the state, by which others' are told apart."""
    visitor.goto("/login/")
    visitor.get_by_role("button", name="Sign in with University").click()
    visitor.get_by_role("button", name="Deny").click()
    expect(visitor.get_by_text("University did not sign you in.")).to_be_visible()

    visitor.get_by_role("link", name="Go back").click()

    expect(visitor.get_by_label("Username")).to_be_visible()


def test_user_of_the_directory_signs_in(visitor: Page):
    give_password(visitor, "Lars")
    is_in(visitor)
    visitor.goto("/account/")
    said = visitor.get_by_text("Your password is that of the institute")
    expect(said).to_be_visible()
    picture(visitor, "account-directory")

    visitor.goto("/password/")
    expect(visitor.get_by_text("Change it there.")).to_be_visible()
    picture(visitor, "password-directory")
    visitor.goto("/account/")
    visitor.get_by_role("link", name="Set up an authenticator app").click()
    confirm(visitor)
    expect(visitor.get_by_label("Secret")).to_have_value(re.compile("[A-Z2-7]{32}"))
