"""One serial console, seen by several: the past, typing, losses, slow readers."""

import asyncio
import threading

from testbed.consoles.ring import Ring
from testbed.consoles.serial import KEPT_BYTES, REPLAYED_BYTES
from tests.testbed.consoles.guests import eventually, is_off


async def test_past_is_shown_first_and_marked(running, guests, page):
    guests.past = b"booting\r\nlogin: "

    shown = await page()
    await shown.until(lambda p: p.data == guests.past)
    guests.serials[0].print(b"olive")
    await shown.until(lambda p: p.data == guests.past + b"olive")

    assert [w["bytes"] for w in shown.of("replay")] == [len(guests.past)]


async def test_past_is_compared_beside_the_loop(running, guests, page, monkeypatch):
    guests.past, threads = b"login: ", []
    real = Ring.put_before

    def put_before(ring, past):
        threads.append(threading.current_thread())
        real(ring, past)

    monkeypatch.setattr(Ring, "put_before", put_before)
    shown = await page()
    await shown.until(lambda p: p.data == guests.past)

    assert threading.current_thread() not in threads


async def test_viewers_share_one_stream_and_see_who_is_there(running, guests, page):
    first, second = await page(), await page(user="mark", may_type=False)
    await first.until(
        lambda p: len(p.of("people")[-1:]) and len(p.of("people")[-1]["people"]) == 2
    )
    await second.until_state("open")
    [serial] = guests.serials

    await first.link.type(b"id\n")
    await eventually(lambda: serial.typed == b"id\n")
    serial.print(b"uid=0")
    for shown in (first, second):
        await shown.until(lambda p: p.data == b"uid=0")

    assert first.of("people")[-1]["people"] == [
        {"name": "mark", "types": False},
        {"name": "olive", "types": True},
    ]


async def test_reader_types_nothing(running, guests, page):
    reader, typist = await page(may_type=False), await page()
    for shown in (reader, typist):
        await shown.until_state("open")
    [serial] = guests.serials

    await reader.link.type(b"poweroff\n")
    await typist.link.type(b"id\n")

    await eventually(lambda: serial.typed)
    assert serial.typed == b"id\n"


async def test_newcomer_gets_what_was_shown_before(running, guests, page):
    first = await page()
    await first.until_state("open")
    guests.serials[0].print(b"x" * 2 * REPLAYED_BYTES + b"last")
    await first.until(lambda p: p.data.endswith(b"last"))

    second = await page()
    await second.until(lambda p: p.data.endswith(b"last"))

    assert len(second.data) == REPLAYED_BYTES
    assert sum(w["bytes"] for w in second.of("replay")) == REPLAYED_BYTES


async def test_guest_that_is_off_is_opened_when_it_starts(
    running, guests, monkeypatch, page
):
    monkeypatch.setattr("testbed.consoles.serial.RETRY_S", 0.05)
    guests.refusal = is_off()
    shown = await page()
    words = await shown.until_state("waiting")

    guests.refusal = None
    await shown.until_state("open")

    assert words["text"] == "Guest web is off."


async def test_new_stream_begins_on_an_empty_screen(running, guests, page):
    shown = await page()
    await shown.until_state("open")
    guests.serials[0].print(b"old")
    await shown.until(lambda p: p.data == b"old")
    resets = len(shown.of("reset"))
    guests.past = b"new boot"

    guests.serials[0].end()
    await shown.until(lambda p: p.data == b"oldnew boot")

    assert len(shown.of("reset")) == resets + 1


async def test_stream_is_closed_after_the_last_viewer(running, guests, page):
    first, second = await page(), await page()
    for shown in (first, second):
        await shown.until_state("open")

    first.link.close()
    await asyncio.sleep(0.2)
    assert guests.serials[0].is_alive()
    second.link.close()

    await eventually(lambda: not guests.serials[0].is_alive())
    await (await page()).until_state("open")
    assert len(guests.serials) == 2


async def test_stream_that_closes_is_not_said_to_be_open(running, guests, page):
    first = await page()
    await first.until_state("open")
    [serial] = guests.serials
    serial.may_close.clear()
    first.link.close()
    await eventually(lambda: not serial.is_alive())

    second = await page()
    await second.until(lambda p: p.states)
    serial.may_close.set()
    await second.until_state("open")

    assert second.states == ["opening", "open"]


async def test_slow_viewer_skips_and_holds_up_nobody(running, guests, page):
    slow, quick = await page(), await page()
    for shown in (slow, quick):
        await shown.until_state("open")
    [serial] = guests.serials
    total = 0
    for _ in range(200):
        serial.print(b"y" * 32_768)
        total += 32_768
        await quick.until(lambda p, n=total: len(p.data) == n)

    await slow.until(lambda p: p.of("skipped"))

    assert slow.of("skipped")[0]["bytes"] > total - 4 * KEPT_BYTES
    assert quick.of("skipped") == []


async def test_typing_that_the_guest_does_not_read_is_dropped_and_said(
    running, guests, page
):
    shown = await page()
    await shown.until_state("open")
    guests.serials[0].is_reading = False

    await shown.link.type(b"x")
    await shown.until(lambda p: p.of("notice"))

    assert "dropped" in shown.of("notice")[0]["text"]
