"""The gateway over its real socket: who gets in, and what a viewer is told."""

import asyncio
import stat

import pytest

from orchestration.errors import HostUnreachable
from testbed.consoles import shell, viewer
from testbed.consoles.gateway import AlreadyThere, Gateway
from testbed.consoles.link import GatewayAway, open_link
from testbed.consoles.messages import MAX_BYTES, Resize
from testbed.consoles.tickets import Mode, issue
from tests.testbed.consoles.guests import Guests, eventually, gateway, is_off, ticket


def test_socket_is_for_its_folders_owner_and_group_alone(socket):
    async def mode():
        async with gateway(Guests(), socket):
            return stat.S_IMODE(socket.stat().st_mode)

    assert asyncio.run(mode()) == 0o660


async def test_second_gateway_does_not_take_the_socket(running, guests, socket, page):
    with pytest.raises(AlreadyThere):
        await Gateway(guests, most=1, idle_s=1.0).serve(socket)

    assert await page()


async def test_socket_of_a_dead_gateway_is_replaced(guests, socket, page):
    socket.touch()

    async with asyncio.timeout(30), gateway(guests, socket):
        while not socket.is_socket():
            await asyncio.sleep(0.01)
        await (await page()).until_state("open")


async def test_web_learns_that_no_gateway_answers(socket):
    with pytest.raises(GatewayAway):
        await open_link()


async def test_used_ticket_opens_nothing(running, guests, page):
    used = ticket()
    await (await page.with_ticket(used)).until_state("open")

    words = await (await page.with_ticket(used)).until_state("failed")

    assert "not good any more" in words["text"]
    assert len(guests.serials) == 1


async def test_ticket_that_the_web_did_not_sign_opens_nothing(running, guests, page):
    shown = await page.with_text(issue(ticket())[:-2] + "xx")

    await shown.until_state("failed")

    assert guests.serials == []


async def test_connection_without_a_ticket_is_ended(running, guests, page):
    shown = await page.without_ticket()
    await shown.link.type(b"reboot\n")

    assert (await shown.until_state("failed"))["text"]
    assert await shown.link.next() is None
    assert guests.serials == []


async def test_no_more_consoles_than_allowed(guests, socket, page):
    async with gateway(guests, socket, most=1):
        first = await page()
        await first.until_state("open")

        words = await (await page()).until_state("failed")

        assert words["text"] == "1 consoles are open already."


async def test_one_user_leaves_consoles_for_others(guests, socket, page):
    async with gateway(guests, socket, most=4):
        for _ in range(2):
            await (await page()).until_state("open")

        words = await (await page()).until_state("failed")
        await (await page(user_id=2)).until_state("open")

    assert words["text"] == "You have 2 open consoles, half of all."


async def test_console_of_a_page_that_takes_nothing_ends_too(
    guests, socket, page, monkeypatch
):
    monkeypatch.setattr(viewer, "LAST_WORDS_S", 0.1)
    async with gateway(guests, socket, idle_s=1.0):
        await (await page(mode=Mode.SHELL)).until_state("open")
        [shell] = guests.shells
        for _ in range(100):
            shell.printed.put(b"y" * MAX_BYTES)

        await eventually(lambda: shell.is_closed)


async def test_console_ends_when_nothing_is_typed(guests, socket, page):
    async with gateway(guests, socket, idle_s=0.1):
        words = await (await page()).until_state("idle")

    assert words["text"] == "Closed: nothing was typed for 1 minutes."


async def test_shell_gets_its_size_typing_and_end(running, guests, page):
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")
    [shell] = guests.shells

    await shown.link.type(b"ls\n")
    await shown.link.say(Resize(columns=120, rows=40))
    shell.printed.put(b"file\r\n")
    await shown.until(lambda p: p.data == b"file\r\n")
    await eventually(lambda: shell.typed == b"ls\n" and shell.sizes[1:] == [(120, 40)])
    shell.printed.put(b"")

    assert (await shown.until_state("over"))["text"] == "The shell has ended."
    await eventually(lambda: shell.is_closed)


async def test_shell_whose_connection_is_lost_says_so(running, guests, page):
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")

    guests.shells[0].is_lost = True
    guests.shells[0].printed.put(b"")

    words = await shown.until_state("over")
    assert words["text"].startswith("The connection to guest web was lost")


async def test_shell_of_a_guest_that_went_off_says_so(
    running, guests, page, monkeypatch
):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")

    guests.refusal = is_off()

    assert (await shown.until_state("over"))["text"] == "Guest web is off."
    await eventually(lambda: guests.shells[0].is_closed)


async def test_shell_stays_open_while_its_host_does_not_answer(
    running, guests, page, monkeypatch
):
    monkeypatch.setattr(shell, "LOOK_S", 0.01)
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")

    guests.refusal = HostUnreachable("Host host-b does not answer.")
    await asyncio.sleep(0.1)
    guests.shells[0].printed.put(b"here")

    await shown.until(lambda p: p.data == b"here")


async def test_shell_ends_with_its_viewer(running, guests, page):
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")

    shown.link.close()

    await eventually(lambda: guests.shells[0].is_closed)


async def test_shell_that_cannot_be_opened_says_why(running, guests, page):
    guests.refusal = is_off()

    words = await (await page(mode=Mode.SHELL)).until_state("failed")

    assert words["text"] == "Guest web is off."


async def test_shell_waits_for_a_slow_browser(running, guests, page):
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")
    [shell] = guests.shells
    pieces = 400
    for _ in range(pieces):
        shell.printed.put(b"y" * MAX_BYTES)

    await asyncio.sleep(0.5)
    taken = shell.reads

    assert taken < pieces / 4
    await shown.until(lambda p: len(p.data) == pieces * MAX_BYTES)


async def test_shell_that_reads_nothing_can_still_be_left(running, guests, page):
    shown = await page(mode=Mode.SHELL)
    await shown.until_state("open")
    [shell] = guests.shells
    shell.is_reading.clear()

    for _ in range(40):
        await shown.link.type(b"x" * MAX_BYTES)
    await shown.until(lambda p: p.of("notice"))
    shown.link.close()

    await eventually(lambda: shell.is_closed)
