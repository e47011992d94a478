"""A real Chromium for the tests: signed-in pages that must stay free of errors."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests.live.stack import PASSWORD, Stack

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
# The session of each user of a product, as a browser keeps it.
_SESSIONS: dict[tuple[str, str], StorageState] = {}
# Two guests on one bridge, with the small image of the simulated product.
YAML = """\
machines:
  - name: web
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: tiny}}}
  - name: db
    interfaces: [{bridge: lan}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: tiny}}}
network:
  bridges: [{name: lan}]
  external_bridge: lan
"""


def add_tiny_image(stack: Stack) -> None:
    """Give a simulated product the image of `YAML`."""
    image = stack.folder / "tiny.raw"
    image.write_bytes(b"tiny" * 1024)
    digest = hashlib.sha256(image.read_bytes()).hexdigest()
    stack.add_image("tiny", image, sha256=digest, format="raw")


def find_chromium() -> str | None:
    """Return the browser's path, or None when there is none."""
    names = ("chromium-headless-shell", "chromium")
    return os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )


@contextmanager
def launched(path: str) -> Iterator[Browser]:
    """Run a browser for a while."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, url: str, user: str, errors: list[str]) -> Iterator[Page]:
    """Give a user's page; `errors` gets those in the console of any of its tabs.

    A user signs in once, and again after a test that signed out: the hash of a password
    and four pages take a second of processor time.
    """
    session = _SESSIONS.get((url, user))
    context = browser.new_context(base_url=url, storage_state=session)
    context.on(
        "console", lambda m: errors.append(m.text) if m.type == "error" else None
    )
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/")
    if page.get_by_label("Password").count():
        sign_in(page, user)
        _SESSIONS[url, user] = context.storage_state()
    yield page
    context.close()


@contextmanager
def signed_in(browser: Browser, url: str, user: str) -> Iterator[Page]:
    """Give a user's page; fails on any error in the console of any of its tabs."""
    errors: list[str] = []
    with page_of(browser, url, user, errors) as page:
        yield page
    assert errors == [], errors


def sign_in(page: Page, name: str) -> None:
    """Sign in with the form, as a person does."""
    page.goto("/login/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Testbeds", exact=True)).to_be_visible()


def create(page: Page, slug: str, yaml: str = YAML) -> None:
    """Create a testbed with the form, as a person does."""
    page.goto("/testbeds/new/")
    page.get_by_label("Name", exact=True).fill(slug)
    page.get_by_label("kvm-compose.yaml").fill(yaml)
    page.get_by_role("button", name="Create testbed").click()
    expect(page.get_by_role("heading", name=slug, exact=True)).to_be_visible()
