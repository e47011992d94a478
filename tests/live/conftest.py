"""One running product on two namespace hosts, shared by all live tests that ask.

Users `owner` and `other`. QEMU's user must pass through the folder, so it is not
pytest's own. The tests of a file use testbeds of their own.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from testbed.client import Client
from tests.live.browser import find_chromium, launched
from tests.live.stack import Stack, images, real_stack

TOOLS = ("libvirtd", "virsh", "qemu-system-x86_64", "ovs-vsctl", "redis-server")
TOOLS += ("sshd", "ssh", "nsenter", "ip")


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
        with real_stack(folder, label="tbl") as stack:
            stack.add_user("owner")
            stack.add_user("other")
            yield stack
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; playwright's loop must be over before asynchronous tests."""
    path = find_chromium()
    if path is None:
        pytest.skip("not installed: chromium")
    with launched(path) as browser:
        yield browser


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
