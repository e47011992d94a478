"""Consoles in the browser: real guests on main and behind a Debian 13 host.

The test guest has no login on its serial line: a shell is put there first.
"""

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.live.browser import signed_in
from tests.live.client import Client
from tests.live.pair.conftest import SLUG
from tests.live.stack import Stack
from tests.live.watch import Guest, project, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.live]
# A shell that reads and writes the serial line, and outlives the login that starts it.
SHELL = "setsid sh -c 'exec sh -i <>/dev/ttyS0 >&0 2>&0' > /dev/null 2>&1 &"
GUESTS = ("near", "away")
# For printf: another title, text for the clipboard, a link, a window of another size.
HOSTILE = (
    r"\033]0;theirs\007\033]52;c;dGhlaXJz\007"
    r"\033]8;;javascript:alert(1)\007link\033]8;;\007\033[8;999;999t"
)


@pytest.fixture(scope="module", autouse=True)
def _shells(stack: Stack, running: None) -> None:
    for name in GUESTS:
        Guest(stack, SLUG, name).run(SHELL)


@pytest.fixture(name="page")
def _page(stack: Stack, chromium: Browser) -> Iterator[Page]:
    with signed_in(chromium, stack.url, "owner") as page:
        yield page


def go_to(page: Page, guest: str, mode: str = "serial") -> None:
    page.goto(f"/testbeds/{SLUG}/guests/{guest}/console/?mode={mode}")
    says(page, "Connected.")


def says(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("[data-state]")).to_contain_text(text)


def screen(page: Page) -> Locator:
    return page.locator(".xterm-rows")


def type_sum(page: Page, word: str) -> None:
    """Type a sum that only the guest writes out."""
    page.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(f"echo {word}-$((6*7))\n")


def answers(page: Page, word: str) -> None:
    type_sum(page, word)
    expect(screen(page)).to_contain_text(f"{word}-42")


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("mode", ["serial", "shell"])
def test_guest_on_any_host_answers(page: Page, guest: str, mode: str):
    go_to(page, guest, mode)

    answers(page, f"{mode}-{guest}")


def test_past_is_there_at_once_and_the_boot_is_in_it(page: Page):
    go_to(page, "away")

    expect(page.locator(".xterm")).to_be_visible()
    answers(page, "first")
    page.reload()

    expect(screen(page)).to_contain_text("first-42")


def test_two_browsers_share_one_console_and_a_reader_cannot_type(
    stack: Stack, page: Page, chromium: Browser
):
    go_to(page, "near")
    with signed_in(chromium, stack.url, "owner") as second:
        go_to(second, "near")
        second.get_by_label("Read only").check()
        says(second, "Connected, read only.")
        expect(page.locator("[data-people]")).to_have_text(
            "Here now: owner, owner (reads)"
        )

        type_sum(second, "forbidden")
        answers(page, "allowed")

        expect(screen(second)).to_contain_text("allowed-42")
        expect(screen(page)).not_to_contain_text("forbidden")


def test_gateway_that_is_killed_comes_back_with_the_screen(stack: Stack, page: Page):
    go_to(page, "away")
    answers(page, "before")

    stack.stop("consoles", with_signal=signal.SIGKILL)
    says(page, "The console gateway does not answer.")
    stack.start_consoles()

    says(page, "Connected.")
    expect(screen(page)).to_contain_text("before-42")
    answers(page, "after")


def test_guest_that_is_off_says_so_and_shows_its_next_boot(
    stack: Stack, owner: Client, page: Page
):
    guest = Guest(stack, SLUG, "away")
    go_to(page, "away")
    shell = page.context.new_page()
    go_to(shell, "away", "shell")

    domain = project(stack, SLUG).read_state().guest("away").domain
    guest.host.run("virsh", "destroy", domain)
    says(page, "Guest away is off.")
    says(shell, "Guest away is off.")
    shell.goto(f"/testbeds/{SLUG}/guests/away/console/?mode=shell")
    says(shell, "Guest away is off.")
    shell.close()
    guest.host.run("virsh", "start", domain)

    says(page, "Connected.")
    expect(screen(page)).to_contain_text("testbed guest ready")
    wait_until(lambda: _starts_shell(guest), "no login after the boot")
    answers(page, "booted")


@contextmanager
def virsh_console(guest: Guest, domain: str) -> Iterator[None]:
    """Take a guest's console with `virsh console`, from whoever has it."""
    ours, theirs = pty.openpty()
    words = guest.host.argv("virsh", "console", "--force", domain)
    virsh = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        assert b"Connected to domain" in os.read(ours, 1000)
        yield
    finally:
        os.write(ours, b"\x1d")  # Ctrl+]
        virsh.wait(30)
        os.close(ours)
        os.close(theirs)


def test_console_that_virsh_takes_is_named_and_opens_when_it_lets_go(
    stack: Stack, page: Page
):
    go_to(page, "near")
    domain = project(stack, SLUG).read_state().guest("near").domain

    with virsh_console(Guest(stack, SLUG, "near"), domain):
        says(page, "Another program on main has the serial console of guest near")

    says(page, "Connected.")
    answers(page, "again")


def test_colours_of_a_guest_are_shown(page: Page):
    go_to(page, "near", "shell")
    page.locator(".xterm-helper-textarea").focus()

    page.keyboard.type("printf '\\033[38;2;170;60;60m%s\\033[0m\\n' co'lou'red\n")

    coloured = screen(page).get_by_text("coloured", exact=True)
    expect(coloured).to_have_css("color", "rgb(170, 60, 60)")


def test_keys_that_a_telephone_lacks_reach_a_terminal(page: Page):
    page.set_viewport_size({"width": 390, "height": 844})
    go_to(page, "near", "shell")
    page.get_by_role("button", name="Keys and text").click()
    text = page.get_by_label("Text to type")
    submit = page.get_by_role("button", name="Type", exact=True)

    text.fill("cat\n")
    submit.click()
    expect(page.locator("[data-typed]")).to_have_text("4 of 4 characters sent.")
    for key in ("Up", "Esc", "Enter"):
        page.get_by_role("button", name=key, exact=True).click()
    expect(screen(page)).to_contain_text("^[[A^[")
    page.get_by_role("button", name="Ctrl", exact=True).click()
    text.fill("c")
    submit.click()
    expect(page.locator("[data-typed]")).to_have_text("1 of 1 characters sent.")
    text.fill("echo by-hand-$((6*7))\n")
    submit.click()

    expect(screen(page)).to_contain_text("by-hand-42")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_console_of_a_host_that_is_cut_off_opens_when_it_is_back(
    stack: Stack, page: Page
):
    stack.other.cut()
    try:
        page.goto(f"/testbeds/{SLUG}/guests/away/console/")
        says(page, "Host host-b does not answer")
    finally:
        stack.other.mend()
        stack.main.wait_until_it_reaches(stack.other)

    says(page, "Connected.")
    answers(page, "back")


def has_prompt_alone(page: Page) -> bool:
    """Stop what prints and clear the screen; the guest drops what came before its end."""
    page.keyboard.press("Control+c")
    page.wait_for_timeout(1_000)
    page.keyboard.type("printf '\\033c'\n")
    page.wait_for_timeout(1_000)
    return screen(page).inner_text().split() == ["~", "$"]


def test_hostile_output_stays_in_the_terminal(page: Page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    go_to(page, "near", "shell")
    title = page.title()
    page.evaluate("navigator.clipboard.writeText('mine')")
    page.locator(".xterm-helper-textarea").focus()

    page.keyboard.type(f"printf '{HOSTILE}'; head -c 100000 /dev/urandom\n")
    page.wait_for_timeout(2_000)
    wait_until(lambda: has_prompt_alone(page), "the terminal was not cleared")

    answers(page, "unharmed")
    assert page.title() == title
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    assert page.locator(".xterm a").count() == 0


@pytest.mark.parametrize("final", ["b", "I", "Z", "L", "M", "S", "T"])
def test_sequence_that_repeats_without_end_holds_up_no_page(page: Page, final: str):
    go_to(page, "near")
    page.locator(".xterm-helper-textarea").focus()

    page.keyboard.type(f"printf 'a\\033[2147483647{final}'\n")

    answers(page, f"unharmed-by-{final}")
    page.keyboard.type("printf '\\033c'\n")


def test_repeats_within_the_screen_are_shown(page: Page):
    go_to(page, "near", "shell")
    page.locator(".xterm-helper-textarea").focus()

    page.keyboard.type("printf 'a\\033[9b%s\\n' -repeated\n")

    expect(screen(page)).to_contain_text("aaaaaaaaaa-repeated")


def _starts_shell(guest: Guest) -> bool:
    try:
        guest.run(SHELL)
    except AssertionError:
        return False
    return True


def test_signing_out_ends_an_open_console(stack: Stack, page: Page):
    go_to(page, "away", "shell")
    tab = page.context.new_page()
    tab.goto("/")

    tab.locator(".top__user").click()
    tab.get_by_role("button", name="Sign out").click()

    expect(page.locator("[data-state]")).to_contain_text(
        "You are signed out.", timeout=5_000
    )
    wait_until(
        lambda: "left the shell console of away" in stack.log("web"),
        "its end is not in the log",
    )
    assert f"act console by owner on {SLUG}: opened the" in stack.log("web")


def test_flood_stays_within_bounds_and_can_be_stopped(stack: Stack, page: Page):
    go_to(page, "near", "shell")
    page.locator(".xterm-helper-textarea").focus()

    page.keyboard.type("yes | head -c 100M\n")
    expect(screen(page)).to_contain_text("y")
    page.wait_for_timeout(3_000)
    sizes = [memory_mib(stack, name) for name in ("web", "consoles")]
    page.keyboard.press("Control+c")

    answers(page, "stopped")
    assert max(sizes) < 400, sizes


def memory_mib(stack: Stack, name: str) -> int:
    """Return the memory of a process and of all below it."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "-g", str(stack.processes[name].pid)],
        capture_output=True,
        text=True,
    )
    return sum(map(int, found.stdout.split())) // 1024
