"""Several tabs on one run: one drives, the others watch, and the server takes over.

A driver that closes or detaches leaves the run to the server; a tab that only watched
changes nothing by closing.
"""

import asyncio
from datetime import timedelta

import pytest
from django.utils import timezone

from testbed.models import Run
from tests.testbed.websocket.browser_tab import PATIENCE_S, drive

pytestmark = pytest.mark.django_db(transaction=True)


async def test_two_tabs_see_the_same(tab, run, plan, owner, doors):
    doors.is_automatic = True
    one, two = await tab(run.pk, owner), await tab(run.pk, owner)
    await two.send("ping")

    await drive(one, plan)
    await one.to_close()
    await two.to_close()

    assert [f for f in one.seen if "seq" in f] == [f for f in two.seen if "seq" in f]
    assert two.of("ack") == []


async def test_second_tab_cannot_drive(tab, run, plan, owner, doors):
    doors.is_automatic = True
    one, two = await tab(run.pk, owner), await tab(run.pk, owner)
    await one.send("instruction", index=0, kind="init")
    await one.until("result")

    await two.send("instruction", index=1, kind=plan[1][1])
    ack = await two.until("ack")

    assert not ack["valid"]
    assert "Another window drives" in ack["message"]
    await one.close()
    await two.close()


async def test_tab_that_closes_while_news_come_is_followed_no_more(tab, run, owner):
    before = asyncio.all_tasks()
    socket = await tab(run.pk, owner)

    for _ in range(3):
        await socket.send("ping")  # each wakes the follower
    await socket.close()

    assert asyncio.all_tasks() == before


async def test_server_drives_on_when_the_tab_closes(
    tab, run, plan, owner, doors, reload
):
    doors.is_automatic = True
    one, two = await tab(run.pk, owner), await tab(run.pk, owner)
    await two.send("ping")
    await one.send("instruction", index=0, kind="init")
    await one.until("result")

    await one.close()
    end = await two.until("run")

    assert end["status"] == "succeeded"
    await reload()
    assert run.driver == Run.Driver.SERVER
    results = two.of("result")
    assert [result["index"] for result in results] == [i for i, _ in plan[:-1]]


async def test_tab_that_only_watched_changes_nothing_by_closing(
    tab, run, owner, reload
):
    socket = await tab(run.pk, owner)

    await socket.close()

    await reload()
    assert (run.driver, run.status) == (Run.Driver.NOBODY, Run.Status.PENDING)


async def test_detach_lets_the_server_go_on_and_the_client_watch(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("result", index=0)

    await socket.send("detach")
    end = await socket.until("run")

    assert end["status"] == "succeeded"
    assert len(socket.of("result")) == len(plan) - 1


async def test_detach_before_the_first_instruction_starts_the_run(
    tab, run, owner, doors
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)

    await socket.send("detach")

    assert (await socket.until("run"))["status"] == "succeeded"


async def test_driver_stays_the_driver_while_its_socket_is_open(
    tab, run, owner, doors, reload
):
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("ack")
    long_ago = timezone.now() - timedelta(hours=1)
    await Run.objects.filter(pk=run.pk).aupdate(driver_seen_at=long_ago)

    async with asyncio.timeout(PATIENCE_S):
        while run.driver_seen_at is None or run.driver_seen_at <= long_ago:
            await asyncio.sleep(0.02)
            await reload()

    assert run.driver == Run.Driver.CLIENT
    await socket.close()
