"""How events are sent: packed, in pages, only the tail, of one guest, as HTML.

Each is asked for in the address of the socket or in the subscription; what a tab leaves
out it is told.
"""

from dataclasses import replace

import pytest
from asgiref.sync import sync_to_async

from testbed.models import Event
from testbed.runs.recorder import record
from testbed.websocket import fragments
from testbed.websocket.follower import View
from tests.testbed.websocket.browser_tab import OFTEN, drive

pytestmark = pytest.mark.django_db(transaction=True)


async def test_batches_pack_neighbouring_events(tab, run, plan, owner, doors):
    doors.is_automatic = True
    doors.engine.lines = 700
    plain, packed = await tab(run.pk, owner), await tab(run.pk, owner, "?batch=1")
    await packed.send("ping")

    await drive(plain, plan[:1])
    await packed.until("result")

    packs = packed.of("events")
    events = [event for pack in packs for event in pack["events"]]
    assert packed.of("event") == []
    assert len(packs) < 30
    assert events == plain.of("event")
    await plain.close()
    await packed.close()


async def test_pages_of_events_are_bounded(tab, run, owner):
    for number in range(20):
        await sync_to_async(record)(run.pk, Event.Kind.LOG, text=str(number))
    socket = await tab(run.pk, owner, pace=replace(OFTEN, view=View(page_events=7)))

    await socket.send("subscribe", after=0)
    for _ in range(20):
        await socket.until("event")

    assert [f["text"] for f in socket.of("event")] == [str(n) for n in range(20)]
    await socket.close()


async def test_page_that_wants_the_tail_is_told_what_it_does_not_get(tab, run, owner):
    pace = replace(OFTEN, view=View(tail_lines=3))
    for number in range(10):
        await sync_to_async(record)(run.pk, Event.Kind.LOG, text=str(number))
    query = "?render=html&batch=1&log=tail"
    socket = await tab(run.pk, owner, query, pace=pace)

    await socket.send("subscribe", after=0)
    skipped = await socket.next()
    lines = (await socket.next())["events"]

    assert skipped == {"type": "skipped", "seq": lines[0]["seq"] - 1}
    assert [line["text"] for line in lines] == ["7", "8", "9"]
    await socket.close()


async def test_subscription_may_be_to_one_guests_log(tab, run, plan, owner, doors):
    doors.is_automatic = True
    driver, watcher = await tab(run.pk, owner), await tab(run.pk, owner)
    await watcher.send("subscribe", after=0, log={"resource": "web", "host": "main"})

    await drive(driver, plan)
    await watcher.to_close()

    everything = [f for f in watcher.of("event") if f["kind"] == "log"]
    assert {(f["resource"], f["host"]) for f in everything} == {("web", "main")}
    assert len(watcher.of("result")) == len(plan) - 1
    await driver.close()


async def test_html_comes_with_each_frame_that_has_a_partial(
    tab, run, plan, owner, doors, monkeypatch
):
    rendered = []

    def render(template, context):
        rendered.append((template, set(context)))
        return f"<p>{template}</p>"

    monkeypatch.setattr(fragments, "render_to_string", render)
    doors.is_automatic = True
    socket = await tab(run.pk, owner, "?render=html")

    await socket.send("instruction", index=0, kind="init")
    result = await socket.until("result")

    html = {frame["kind"]: frame.get("html") for frame in socket.of("event")}
    assert html["log"] == "<p>runs/_log_line.html</p>"
    assert html["task-finished"] == "<p>runs/_task.html</p>"
    assert result["html"].startswith("<p>runs/_stage.html</p><p>runs/_header.html</p>")
    assert ("runs/_log_line.html", {"event", "run"}) in rendered
    assert ("runs/_task.html", {"task", "run"}) in rendered
    assert ("runs/_stage.html", {"stage", "run"}) in rendered
    await socket.close()
