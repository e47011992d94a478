"""Screens in the browser: guests on main and behind a Debian 13 host, before any system.

The guests boot a CD that says one sentence and each key, on the screen and on the
serial console, which proves what arrived.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from orchestration.state.model import GuestState
from tests.live.boot_disc import SENTENCE, write_boot_disc
from tests.live.browser import signed_in
from tests.live.client import Client
from tests.live.stack import NamespaceHost, Stack
from tests.live.watch import host_of, project, ran, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.live]
SLUG = "screens"
GUESTS = ("near", "away")
MACHINE = """\
  - name: {name}
    interfaces: [{{bridge: {bridge}}}]
    libvirt:
      cpus: 1
      memory_mb: 64
      libvirt_type: {{iso_guest: {{path: boot.iso, expand_gigabytes: 1}}}}
"""
YAML = f"""\
machines:
{MACHINE.format(name="near", bridge="br0")}\
{MACHINE.format(name="away", bridge="br1")}\
network:
  bridges: [{{name: br0}}, {{name: br1}}]
  bridge_connections: {{br0: br1}}
  external_bridge: br0
"""
# The pixels of the guest's picture that are not black.
LIT = """canvas => {
  const { width, height } = canvas;
  if (!width || !height) return 0;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let lit = 0;
  for (let at = 0; at < pixels.length; at += 4)
    if (pixels[at] || pixels[at + 1] || pixels[at + 2]) lit += 1;
  return lit;
}"""


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client, tmp_path_factory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("screens")
    (folder / "kvm-compose.yaml").write_text(YAML)
    write_boot_disc(folder / "boot.iso")
    owner.create_testbed(SLUG, folder)
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    yield
    assert ran(owner, SLUG, "down").status == "succeeded"


@pytest.fixture(name="page")
def _page(stack: Stack, chromium: Browser) -> Iterator[Page]:
    with signed_in(chromium, stack.url, "owner") as page:
        yield page


def go_to(page: Page, guest: str) -> None:
    page.goto(f"/testbeds/{SLUG}/guests/{guest}/console/?mode=screen")
    says(page, "Connected.")
    wait_until(lambda: lit(page) > 500, "the screen is black")


def says(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("[data-state]")).to_contain_text(text)


def lit(page: Page) -> int:
    return page.locator("canvas").evaluate(LIT)


def press(page: Page, key: str) -> None:
    page.locator("canvas").focus()
    page.keyboard.press(key)


def place(stack: Stack, guest: str) -> tuple[NamespaceHost, GuestState]:
    state = project(stack, SLUG).read_state().guest(guest)
    return host_of(stack, state.host), state


def printed(stack: Stack, guest: str) -> str:
    """Return what the guest wrote to its serial console since its start."""
    host, state = place(stack, guest)
    return host.run("cat", state.console)


def arrives(stack: Stack, guest: str, keys: str) -> None:
    wait_until(lambda: printed(stack, guest).endswith(keys), f"{keys!r} did not arrive")


def virsh(stack: Stack, guest: str, verb: str, *options: str) -> str:
    host, state = place(stack, guest)
    return host.run("virsh", verb, state.domain, *options)


@pytest.mark.parametrize("guest", GUESTS)
def test_screen_shows_what_boots_and_takes_a_key(stack: Stack, page: Page, guest: str):
    go_to(page, guest)
    wait_until(lambda: SENTENCE in printed(stack, guest), "it did not boot")
    page.wait_for_timeout(1_000)
    before = lit(page)

    press(page, "w")

    arrives(stack, guest, "w")
    wait_until(lambda: lit(page) > before, "the key is not on the screen")


def test_two_browsers_share_one_screen_and_a_reader_cannot_type(
    stack: Stack, page: Page, chromium: Browser
):
    go_to(page, "away")
    with signed_in(chromium, stack.url, "owner") as second:
        go_to(second, "away")
        second.get_by_label("Read only").check()
        says(second, "Connected, read only.")
        expect(page.locator("[data-people]")).to_have_text(
            "Here now: owner, owner (reads)"
        )
        wait_until(lambda: lit(second) > 500, "the reader's screen is black")
        before = lit(second)

        press(second, "x")
        press(page, "m")

        arrives(stack, "away", "m")
        wait_until(lambda: lit(second) > before, "the reader does not see the key")
        assert "x" not in printed(stack, "away").rpartition(SENTENCE)[2]


def test_button_sends_the_keys_that_the_browser_keeps(stack: Stack, page: Page):
    go_to(page, "near")
    boots = printed(stack, "near").count(SENTENCE)

    page.get_by_role("button", name="Ctrl+Alt+Del").click()

    wait_until(
        lambda: printed(stack, "near").count(SENTENCE) == boots + 1, "no new boot"
    )
    says(page, "Connected.")


def test_page_has_the_keys_that_a_telephone_lacks_and_types_text(
    stack: Stack, page: Page
):
    page.set_viewport_size({"width": 390, "height": 844})
    go_to(page, "near")
    page.get_by_role("button", name="Keys and text").click()
    text = page.get_by_label("Text to type")
    submit = page.get_by_role("button", name="Type", exact=True)

    text.fill('Zy-{"1"} ~|\\@')
    submit.click()
    arrives(stack, "near", 'Zy-{"1"} ~|\\@')
    page.get_by_role("button", name="Esc", exact=True).click()
    arrives(stack, "near", "\x1b")
    page.get_by_role("button", name="Ctrl", exact=True).click()
    text.fill("c")
    submit.click()
    arrives(stack, "near", "\x03")

    expect(page.locator("[data-typed]")).to_have_text("1 of 1 characters sent.")
    expect(page.locator("[aria-pressed=true]")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_text_that_cannot_be_typed_is_not_sent_in_part(stack: Stack, page: Page):
    go_to(page, "away")
    page.get_by_role("button", name="Keys and text").click()
    text = page.get_by_label("Text to type")
    submit = page.get_by_role("button", name="Type", exact=True)
    told = page.locator("[data-typed]")

    text.fill("q grün")
    submit.click()
    expect(told).to_have_text("Not sent: a US keyboard has no ü")
    page.get_by_label("Read only").check()
    says(page, "Connected, read only.")
    text.fill("q")
    submit.click()
    expect(told).to_have_text("Stopped: 0 of 1 characters sent.")

    page.get_by_label("Read only").uncheck()
    says(page, re.compile("^Connected\\.$"))
    wait_until(lambda: lit(page) > 500, "the screen is black")
    press(page, "k")
    arrives(stack, "away", "k")
    assert "q" not in printed(stack, "away").rpartition(SENTENCE)[2]


@pytest.mark.parametrize("guest", GUESTS)
def test_guest_that_restarts_is_shown_again(stack: Stack, page: Page, guest: str):
    go_to(page, guest)

    virsh(stack, guest, "destroy")
    says(page, f"Guest {guest} is off.")
    virsh(stack, guest, "start")

    says(page, "Connected.")
    wait_until(lambda: SENTENCE in printed(stack, guest), "it did not boot")
    press(page, "a")
    arrives(stack, guest, "a")


def test_keyboard_leaves_the_screen_and_comes_back(stack: Stack, page: Page):
    go_to(page, "near")

    press(page, "Control+Shift+L")
    focused = page.locator("button:focus")
    expect(focused).to_have_text("Ctrl+Alt+Del")
    press(page, "b")

    # Keys that were held when the screen was left are up again.
    arrives(stack, "near", "b")


def test_signing_out_ends_an_open_screen(stack: Stack, page: Page):
    go_to(page, "away")
    tab = page.context.new_page()
    tab.goto("/")

    tab.locator(".top__user").click()
    tab.get_by_role("button", name="Sign out").click()

    expect(page.locator("[data-state]")).to_contain_text(
        "You are signed out.", timeout=5_000
    )
    assert "opened the screen of away" in stack.log("web")


@pytest.mark.parametrize("guest", GUESTS)
def test_guest_without_a_screen_says_how_it_gets_one(
    stack: Stack, page: Page, guest: str
):
    host, _ = place(stack, guest)
    xml = virsh(stack, guest, "dumpxml", "--inactive")
    virsh(stack, guest, "destroy")
    define(host, re.sub(r"<graphics.*?</graphics>", "", xml, flags=re.DOTALL))
    virsh(stack, guest, "start")

    page.goto(f"/testbeds/{SLUG}/guests/{guest}/console/?mode=screen")

    says(page, f"Guest {guest} has no screen")
    says(page, "<graphics type='vnc'><listen type='socket'/></graphics>")


def define(host: NamespaceHost, xml: str) -> None:
    script = 'f=$(mktemp) && printf %s "$1" > "$f" && virsh define "$f"'
    host.run("sh", "-c", script, "sh", xml)
