"""Files from a real forge over ssh, by pages, a worker and a forge's webhook.

The forge is an sshd on loopback with a bare repository; git runs as it does in a lab.
"""

import hashlib
import hmac
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.live.browser import YAML, add_tiny_image, create, signed_in
from tests.live.stack import Stack, simulated_stack
from tests.testbed.sources.repositories import Forge
from tests.testbed.sources.wires import SSHD, SshForge, ssh_forge

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        os.geteuid() != 0 or not Path(SSHD).exists(), reason="needs root and sshd"
    ),
]
PUSH = b'{"ref": "refs/heads/main"}'


@pytest.fixture(scope="module")
def sourced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A product that may fetch from this machine."""
    folder = tmp_path_factory.mktemp("sources")
    with simulated_stack(folder, TESTBED_GIT_NETWORKS="127.0.0.0/8") as stack:
        add_tiny_image(stack)
        stack.add_user("owner")
        yield stack


@pytest.fixture
def page(sourced: Stack, chromium: Browser) -> Iterator[Page]:
    with signed_in(chromium, sourced.url, "owner") as found:
        yield found


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    found = Forge(tmp_path / "lab.git")
    found.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 1\n"}, "Begin the lab")
    return found


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[SshForge]:
    with ssh_forge(tmp_path / "sshd") as found:
        yield found


def test_files_follow_a_repository_until_both_sides_changed(
    page: Page, forge: Forge, sshd: SshForge
):
    create(page, "lab")
    page.get_by_role("link", name="Set a source…").click()
    page.get_by_label("Address").fill(f"ssh://root@127.0.0.1:{sshd.port}{forge.folder}")
    page.get_by_role("button", name="Set the source").click()
    texts = page.locator("code.path").all_inner_texts()
    secret = texts[0]
    (address,) = [text for text in texts if "/hooks/" in text]
    sshd.allow(next(text for text in texts if text.startswith("ssh-ed25519")))

    page.get_by_role("button", name="Fetch now").click()
    page.get_by_role("button", name="It is the same: confirm and fetch").click()
    commit = page.get_by_role("region", name="Fetched commit")
    expect(commit).to_contain_text("Begin the lab")
    expect(page.get_by_text("succeeded: 1 added.")).to_be_visible()

    forge.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 2\n"}, "Say two")
    signature = hmac.new(secret.encode(), PUSH, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    assert httpx.post(address, content=PUSH, headers=headers).status_code == 202
    expect(commit).to_contain_text("Say two")

    lab = page.url.replace("source/", "")
    page.goto(lab)
    page.get_by_text("Add or replace files").click()
    mine = FilePayload(name="setup.sh", mimeType="text/x-sh", buffer=b"echo mine\n")
    page.locator("input[type=file]:not([webkitdirectory])").first.set_input_files(mine)
    page.get_by_role("button", name="Save files").click()
    expect(page.get_by_text("Saved: setup.sh.")).to_be_visible()
    forge.commit({"kvm-compose.yaml": YAML, "setup.sh": "echo 3\n"}, "Say three")
    page.goto(lab)
    page.get_by_role("button", name="Fetch now").click()
    page.get_by_role("link", name="Look at both sides").click()
    expect(page.get_by_text("echo mine")).to_be_visible()
    expect(page.get_by_text("echo 3")).to_be_visible()
    page.get_by_role("button", name="Take the repository's").click()
    expect(commit).to_contain_text("Say three")
    page.goto(f"{lab}files/setup.sh")
    expect(page.get_by_text("echo 3")).to_be_visible()
    page.goto("/trash/")
    expect(page.get_by_text("setup.sh").first).to_be_visible()
