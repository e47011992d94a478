"""The run page while things die under a run: it comes back and shows everything.

On simulated hosts, one of which is held in the middle of a run until it is let go.
"""

import json
import signal

import pytest
from playwright.sync_api import Page, expect

from tests.live.browser import PATIENCE_MS, sign_in
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", autouse=True)
def _testbed(rehearsal, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "kvm-compose.yaml").write_text(YAML)
    owner = rehearsal.client("owner")
    owner.create_testbed("lab", folder)
    owner.close()


@pytest.fixture
def page(rehearsal, chromium):
    """The owner's page; a browser itself reports each connection that it loses."""
    context = chromium.new_context(base_url=rehearsal.url)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    sign_in(page, "owner")
    yield page
    context.close()


@pytest.fixture
def held(rehearsal):
    """Let a command of the second host take long, until this file is gone."""
    folder = rehearsal.data / "runtime/simulated"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "host-01.faults.json"
    file.write_text(json.dumps({"test -d": {"sleep_s": 600}}))
    yield file
    file.unlink(missing_ok=True)


def lines(page: Page) -> list[str]:
    return page.locator("#log-lines .line").all_inner_texts()


def test_page_connects_again_misses_nothing_and_goes_on_with_one_click(
    rehearsal, page, held
):
    page.goto("/testbeds/lab/")
    page.get_by_role("button", name="Up", exact=True).click()
    stage = page.locator(".stage").filter(has_text="Prepare hosts")
    expect(stage).to_contain_text("running")

    rehearsal.stop("web", with_signal=signal.SIGKILL)
    expect(page.get_by_text("Reconnecting…")).to_be_visible()
    rehearsal.stop("worker", with_signal=signal.SIGKILL)
    held.unlink()
    rehearsal.start_worker()
    rehearsal.start_web()

    expect(page.get_by_role("heading", name="Interrupted.")).to_be_visible()
    expect(page.get_by_text("Reconnecting…")).to_be_hidden()
    outcome = page.locator("#run-outcome")
    expect(outcome).to_contain_text("A worker was lost")
    expect(outcome).to_contain_text("not done:")
    seen = lines(page)
    page.reload()
    assert lines(page) == seen != []

    page.get_by_role("button", name="Resume Up").click()
    expect(page.get_by_role("heading", name="Up succeeded.")).to_be_visible()
