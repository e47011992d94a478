"""A tab gets all events of a run since a number, in order, whichever process rings.

A client that says nothing hears what is new, and how the run ended; news come a little
later when the doorbell or the whole channel layer is out of order.
"""

import asyncio
from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from testbed.models import Event
from testbed.runs.cancelling import request_cancel
from testbed.runs.recorder import record
from tests.testbed.websocket.browser_tab import OFTEN, drive

IMPATIENT = replace(OFTEN, silence_s=0.05)
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


async def test_subscribe_replays_everything_after_an_event(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    first = await tab(run.pk, owner)
    await drive(first, plan)
    await first.to_close()
    numbered = [frame for frame in first.seen if "seq" in frame]

    late = await tab(run.pk, owner)
    await late.send("subscribe", after=5)
    await late.to_close()

    assert [f for f in late.seen if "seq" in f] == numbered[5:]


async def test_news_do_not_come_ahead_of_a_replay(tab, run, owner, reload):
    for text in ("first", "second"):
        await sync_to_async(record)(run.pk, Event.Kind.LOG, text=text)
    late = await tab(run.pk, owner)

    await sync_to_async(record)(run.pk, Event.Kind.LOG, text="third")
    await asyncio.sleep(5 * OFTEN.tick_s)
    await late.send("subscribe", after=0)
    await late.until("event", text="third")

    assert [frame["text"] for frame in late.seen] == ["first", "second", "third"]
    await late.close()


async def test_silent_client_hears_what_is_new_in_the_end(tab, run, owner):
    await sync_to_async(record)(run.pk, Event.Kind.LOG, text="old")
    silent = await tab(run.pk, owner, pace=IMPATIENT)

    await sync_to_async(record)(run.pk, Event.Kind.LOG, text="new")

    assert (await silent.next())["text"] == "new"
    await silent.close()


async def test_client_that_saw_everything_still_hears_how_the_run_ended(
    tab, run, owner, reload
):
    await sync_to_async(request_cancel)(run.pk, owner)
    await reload()

    socket = await tab(run.pk, owner)
    await socket.send("subscribe", after=run.last_seq)

    frame = await socket.next()
    assert (frame["type"], frame["status"]) == ("run", "cancelled")
    assert await socket.to_close() == 1000


async def test_run_that_is_over_ends_a_silent_client(tab, run, owner):
    await sync_to_async(request_cancel)(run.pk, owner)

    socket = await tab(run.pk, owner, pace=IMPATIENT)

    assert (await socket.next())["type"] == "run"
    assert await socket.to_close() == 1000


async def test_events_come_without_a_doorbell_a_little_later(
    tab, run, owner, monkeypatch
):
    monkeypatch.setattr("testbed.runs.recorder.ring", lambda *_, **__: None)
    socket = await tab(run.pk, owner)
    await socket.send("ping")

    await sync_to_async(record)(run.pk, Event.Kind.LOG, text="unheard")

    assert (await socket.until("event"))["text"] == "unheard"
    await socket.close()


async def test_socket_opens_and_follows_while_the_channel_layer_is_down(
    tab, run, owner, monkeypatch
):
    class DeadLayer:
        async def new_channel(self, *words):
            raise ConnectionRefusedError

        group_send = new_channel

    monkeypatch.setattr("testbed.runs.doorbell.get_channel_layer", DeadLayer)
    socket = await tab(run.pk, owner)
    await socket.send("ping")

    await sync_to_async(record)(run.pk, Event.Kind.LOG, text="heard")

    assert (await socket.until("event"))["text"] == "heard"
    await socket.close()
