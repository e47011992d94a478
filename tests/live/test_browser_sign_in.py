"""Second factors in Chromium: an authenticator app, and a passkey of a virtual device."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, CDPSession, Page, expect

from tests.live.browser import PATIENCE_MS
from tests.live.stack import PASSWORD, Stack

pytestmark = pytest.mark.browser

DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


@pytest.fixture
def visitor(product: Stack, chromium: Browser) -> Iterator[Page]:
    """A page of a visitor; a passkey needs a name, which `localhost` is."""
    errors: list[str] = []
    url = product.url.replace("127.0.0.1", "localhost")
    context = chromium.new_context(base_url=url)
    context.set_default_timeout(PATIENCE_MS)
    context.on(
        "console", lambda m: errors.append(m.text) if m.type == "error" else None
    )
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert errors == []


@pytest.fixture
def device(visitor: Page) -> CDPSession:
    """A device with passkeys, in the browser."""
    session = visitor.context.new_cdp_session(visitor)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    return session


def give_password(page: Page, name: str) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def confirm(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def sign_out(page: Page, name: str) -> None:
    page.locator("summary", has_text=name).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Username")).to_be_visible()


def is_in(page: Page) -> None:
    expect(page.get_by_role("heading", name="Testbeds", exact=True)).to_be_visible()


def picture(page: Page, name: str) -> None:
    """Keep a picture for who looks at the pages; TESTBED_PICTURES is the folder."""
    if folder := os.environ.get("TESTBED_PICTURES"):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 900})
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                path = Path(folder) / f"{name}-{width}-{scheme}.png"
                page.screenshot(path=str(path), full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})


def test_app_is_set_up_and_asked_for(product: Stack, visitor: Page):
    product.add_user("with-app")
    give_password(visitor, "with-app")
    is_in(visitor)

    visitor.goto("/account/")
    picture(visitor, "account")
    visitor.get_by_role("link", name="Set up an authenticator app").click()
    confirm(visitor)
    picture(visitor, "app")
    secret = visitor.get_by_label("Secret").input_value()
    visitor.get_by_label("Code").fill(_code(secret))
    visitor.get_by_role("button", name="Set up").click()
    expect(visitor.get_by_role("heading", name="Recovery codes")).to_be_visible()
    picture(visitor, "codes")
    words = visitor.get_by_label("Recovery codes").inner_text().split()
    visitor.goto("/account/")
    picture(visitor, "account-app")
    sign_out(visitor, "with-app")

    give_password(visitor, "with-app")
    expect(visitor.get_by_role("heading", name="Second factor")).to_be_visible()
    picture(visitor, "second-factor")
    visitor.get_by_label("Code").fill("000000")
    visitor.get_by_role("button", name="Sign in", exact=True).click()
    expect(visitor.get_by_text("This code is wrong")).to_be_visible()
    visitor.get_by_label("Code").fill(words[0])
    visitor.get_by_role("button", name="Sign in", exact=True).click()
    is_in(visitor)


def test_passkey_signs_in_without_a_password(
    product: Stack, visitor: Page, device: CDPSession
):
    product.add_user("with-key")
    give_password(visitor, "with-key")
    is_in(visitor)
    visitor.goto("/account/")
    visitor.get_by_role("link", name="Add a passkey").click()
    confirm(visitor)
    visitor.get_by_label("Name", exact=True).fill("office laptop")
    visitor.get_by_label("It signs in without the password").check()
    picture(visitor, "passkey")
    visitor.get_by_role("button", name="Add", exact=True).click()
    expect(visitor.get_by_role("heading", name="Recovery codes")).to_be_visible()
    visitor.get_by_role("link", name="Done").click()
    expect(visitor.get_by_text("office laptop", exact=True)).to_be_visible()
    picture(visitor, "account-passkey")
    sign_out(visitor, "with-key")
    picture(visitor, "login")

    visitor.get_by_role("button", name="Use a passkey").click()
    is_in(visitor)
    sign_out(visitor, "with-key")

    give_password(visitor, "with-key")
    visitor.get_by_role("button", name="Use a passkey").click()
    is_in(visitor)


def _code(secret: str) -> str:
    assert re.fullmatch(r"[A-Z2-7]{32}", secret)
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))
