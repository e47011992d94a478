"""A screen through the gateway's real socket, with a small VNC server."""

import asyncio

import pytest

from testbed.consoles.messages import Ready
from testbed.consoles.rfb import VERSION
from testbed.consoles.tickets import Mode
from tests.testbed.consoles.guests import eventually, gateway, is_off
from tests.testbed.consoles.test_rfb import ASK, HELLO, KEY
from tests.testbed.consoles.vnc import PICTURE


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("testbed.consoles.screen.RETRY_S", 0.05)


@pytest.fixture
def opened(page):
    async def opened(**fields):
        shown = await page(mode=Mode.SCREEN, **fields)
        await shown.until(lambda p: p.data == VERSION)
        await shown.link.say(Ready())
        await shown.link.type(HELLO)
        return shown

    return opened


async def test_pictures_and_keys_go_both_ways(running, guests, opened):
    shown = await opened()
    [screen] = guests.screens

    await shown.link.type(ASK + KEY)
    await eventually(lambda: screen.received == HELLO + ASK + KEY)
    screen.show(PICTURE)

    await shown.until(lambda p: p.data == VERSION + PICTURE)
    assert shown.states == ["opening", "open"]


async def test_reader_gets_pictures_and_types_nothing(running, guests, opened):
    shown = await opened(may_type=False)
    [screen] = guests.screens

    await shown.link.type(KEY + ASK)

    await eventually(lambda: screen.received.endswith(ASK))
    assert screen.received == HELLO + ASK


async def test_each_viewer_has_a_connection_and_sees_who_is_there(
    running, guests, opened
):
    first, second = await opened(), await opened(user="mark", may_type=False)
    both = [{"name": "mark", "types": False}, {"name": "olive", "types": True}]
    for shown in (first, second):
        await shown.until(lambda p: p.of("people")[-1]["people"] == both)

    second.link.close()
    await first.until(lambda p: len(p.of("people")[-1]["people"]) == 1)

    assert len(guests.screens) == 2
    await eventually(lambda: guests.screens[1].is_closed)
    assert not guests.screens[0].is_closed


async def test_guest_that_restarts_is_shown_anew(running, guests, opened):
    shown = await opened()
    [first] = guests.screens
    guests.refusal = is_off()

    first.end()
    await shown.until(lambda p: p.of("state")[-1]["text"] == "Guest web is off.")
    guests.refusal = None
    await shown.until(lambda p: p.data == VERSION * 2)
    # Until it is ready, the page speaks of the connection that has ended.
    await shown.link.type(KEY)
    await shown.link.say(Ready())
    await shown.link.type(HELLO)

    await eventually(lambda: guests.screens[1].received == HELLO)
    assert len(shown.of("reset")) == 2


async def test_server_that_does_not_greet_as_vnc_is_not_shown(running, guests, page):
    guests.greeting = b"HTTP/1.1 400 Bad Request\r\n"

    shown = await page(mode=Mode.SCREEN)
    words = await shown.until_state("waiting")

    assert words["text"] == "The screen of guest web does not answer as VNC."
    assert shown.data == b""
    assert guests.screens[0].received == b""


async def test_browser_that_speaks_no_rfb_is_left(running, guests, opened):
    shown = await opened()

    await shown.link.type(b"GET / HTTP/1.1\r\n")

    while await shown.link.next() is not None:
        pass
    await eventually(lambda: guests.screens[0].is_closed)


async def test_screen_ends_when_nothing_is_typed_although_it_is_watched(
    guests, socket, page
):
    async with gateway(guests, socket, idle_s=1.0):
        shown = await page(mode=Mode.SCREEN)
        await shown.until(lambda p: p.data == VERSION)
        await shown.link.say(Ready())
        await shown.link.type(HELLO)

        async def watch():
            while True:
                await shown.link.type(ASK)
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        await shown.until_state("idle")
        watching.cancel()


async def test_screen_waits_for_a_slow_browser(running, guests, opened):
    shown = await opened()
    [screen] = guests.screens

    shown_bytes = await asyncio.to_thread(screen.show_until_full)

    assert shown_bytes < 8 << 20
    await shown.until(lambda p: len(p.data) == len(VERSION) + shown_bytes)


async def test_viewer_that_leaves_while_it_opens_leaves_nothing_open(
    running, guests, page
):
    guests.may_open.clear()
    shown = await page(mode=Mode.SCREEN)
    await shown.until_state("opening")
    await eventually(lambda: guests.is_opening)

    shown.link.close()
    await asyncio.sleep(0.1)
    guests.may_open.set()

    await eventually(lambda: guests.screens and guests.screens[0].is_closed)
