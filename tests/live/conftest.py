"""One running product on two namespace hosts, shared by all live tests that ask.

The second host is a Debian 13 where script/lab/debian-root could build one.
`product` is another one, on simulated hosts. Users `owner` and `other`. QEMU's user
must pass through the folder of the first, so it is not pytest's own. The tests of a
file use testbeds of their own.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import Lane
from tests.live.browser import (
    add_tiny_image,
    find_chromium,
    launched,
    page_of,
    signed_in,
)
from tests.live.client import Client
from tests.live.namespace_host import debian_13, images
from tests.live.stack import Stack, real_stack, simulated_stack

TOOLS = ("libvirtd", "virsh", "qemu-system-x86_64", "ovs-vsctl", "redis-server")
TOOLS += ("sshd", "ssh", "nsenter", "ip")
# A test that is slow to drive what it started, or to cancel it, still comes first.
SETTINGS = {"TESTBED_DRIVER_PATIENCE_S": "20"}


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """The product, with its two hosts."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"not installed: {', '.join(lacking)}")
    if not (images() / "test_guest.json").exists():
        pytest.skip("the test guest image is not built: script/lab/guest-image")
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="testbed-live-"))
    try:
        with real_stack(
            folder, label="tbl", second_root=debian_13(), **SETTINGS
        ) as stack:
            stack.add_user("owner", "other")
            yield stack
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lifetime(*, config: pytest.Config, **_: str) -> str:
    """Return the scope of the browser.

    Playwright's loop must be over before asynchronous tests. The web's lane has none of
    these, and one browser for all.
    """
    return "session" if config.getoption("--lane") is Lane.WEB else "module"


@pytest.fixture(scope=lifetime)
def chromium() -> Iterator[Browser]:
    """A real browser; each test has a context of its own."""
    path = find_chromium()
    if path is None:
        pytest.skip("not installed: chromium")
    with launched(path) as browser:
        yield browser


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The product on two simulated hosts, with one small image and two users."""
    if not shutil.which("redis-server"):
        pytest.skip("not installed: redis-server")
    folder = tmp_path_factory.mktemp("browser")
    with simulated_stack(folder) as stack:
        add_tiny_image(stack)
        stack.add_user("owner", "other")
        yield stack


@pytest.fixture
def page(product: Stack, chromium: Browser) -> Iterator[Page]:
    """The owner's page, signed in; fails on any error in the console."""
    with signed_in(chromium, product.url, "owner") as page:
        yield page


@pytest.fixture(scope="session")
def owner(stack: Stack) -> Iterator[Client]:
    """The user to whom most testbeds belong."""
    client = stack.client("owner")
    yield client
    client.close()


@pytest.fixture(scope="session")
def other(stack: Stack) -> Iterator[Client]:
    """A second user with testbeds of their own."""
    client = stack.client("other")
    yield client
    client.close()


@pytest.fixture
def refused(product: Stack, chromium: Browser) -> Iterator[Page]:
    """A page that may be refused; the browser calls each refusal an error."""
    with page_of(chromium, product.url, "owner", []) as page:
        yield page
