"""The orchestration protocol over a websocket: each frame, each close code, each error."""

import asyncio
import json
from datetime import timedelta

import pytest
from asgiref.sync import SyncToAsync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import Client
from django.utils import timezone

from orchestration.instructions.base import Command
from testbed import consumers, follower, fragments
from testbed.asgi import application
from testbed.models import Run, Testbed
from testbed.recorder import record
from testbed.services.runs import request_cancel

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_S = 60


@pytest.fixture(autouse=True)
def looks_often(monkeypatch):
    """Look for news all the time: the in-memory layer rings in its own loop only.

    On a busy machine nobody is silent only because this test's turn comes late.
    """
    monkeypatch.setattr(consumers, "TICK_S", 0.05)
    monkeypatch.setattr(consumers, "SILENCE_S", 600.0)


@pytest.fixture(autouse=True)
def no_connection_is_left():
    """Close what channels' communicator, unlike its server, leaves open."""
    yield
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()


class Tab:
    """One browser tab on a run's websocket."""

    def __init__(self, run_id, user=None, query="", origin=b"http://localhost"):
        headers = [(b"origin", origin)] if origin else []
        if user is not None:
            client = Client()
            client.force_login(user)
            self.session_key = client.cookies["sessionid"].value
            headers.append((b"cookie", f"sessionid={self.session_key}".encode()))
        path = f"/ws/orchestration/{run_id}/{query}"
        self.socket = WebsocketCommunicator(application, path, headers=headers)
        self.seen = []

    async def open(self):
        connected, _ = await self.socket.connect(timeout=PATIENCE_S)
        assert connected
        return self

    async def send(self, type_, **fields):
        await self.socket.send_to(text_data=json.dumps({"type": type_, **fields}))

    async def next(self):
        """Return the next frame; a close is {"type": "close", "code": …}."""
        message = await self.socket.receive_output(timeout=PATIENCE_S)
        if message["type"] == "websocket.close":
            frame = {"type": "close", "code": message.get("code")}
        else:
            frame = json.loads(message["text"])
        self.seen.append(frame)
        return frame

    async def until(self, type_, **fields):
        """Read up to the next frame of this type (and with these fields)."""
        while True:
            frame = await self.next()
            if frame["type"] == type_ and fields.items() <= frame.items():
                return frame
            assert frame["type"] != "close", self.seen

    async def to_close(self):
        return (await self.until("close"))["code"]

    async def close(self):
        await self.socket.disconnect(timeout=PATIENCE_S)

    def of(self, type_):
        return [frame for frame in self.seen if frame["type"] == type_]


@pytest.fixture
def tab(request):
    """Open tabs: `await tab(run, user)`."""

    async def open_tab(run_id, user=None, query="", **how):
        opened = await sync_to_async(Tab)(run_id, user, query, **how)
        return await opened.open()

    return open_tab


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def plan(run):
    return [(entry["index"], entry["kind"]) for entry in run.plan["instructions"]]


@pytest.fixture
def reload(run):
    return sync_to_async(run.refresh_from_db)


async def drive(tab, plan):
    """Do what the page does: one instruction after the other, `end` last."""
    for index, kind in plan:
        await tab.send("instruction", index=index, kind=kind)
        if kind != "end":
            await tab.until("result", index=index)


async def test_client_drives_a_run_to_its_end(tab, run, plan, owner, doors):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)

    await drive(socket, plan)
    end = await socket.until("run")

    assert end["status"] == "succeeded"
    assert await socket.next() == {"type": "close", "code": 1000}
    acks, results = socket.of("ack"), socket.of("result")
    assert [ack["index"] for ack in acks] == [index for index, _ in plan[:-1]]
    assert all(ack["valid"] and ack["message"] == "" for ack in acks)
    assert [result["index"] for result in results] == [i for i, _ in plan[:-1]]
    assert all(result["success"] for result in results)
    resource = results[0]["resources"][0]
    assert {"name", "status", "message", "hint", "seconds"} <= resource.keys()
    seqs = [f["seq"] for f in socket.seen if f["type"] in ("event", "result", "run")]
    assert seqs == list(range(1, len(seqs) + 1))


async def test_ack_comes_before_all_that_its_instruction_causes(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)

    await socket.send("instruction", index=0, kind="init")
    await socket.until("result", index=0)

    assert socket.seen[0]["type"] == "ack"
    kinds = [frame["kind"] for frame in socket.of("event")]
    assert kinds == ["instruction-started", "task-started", "log", "task-finished"]
    await socket.close()


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"index": 1, "kind": "check-artefacts"}, "Instruction 0 is next, not 1."),
        ({"index": 0, "kind": "end"}, "Instruction 0 is init, not end."),
    ],
)
async def test_instruction_out_of_order_is_answered_and_not_executed(
    tab, run, plan, owner, doors, frame, reason
):
    socket = await tab(run.pk, owner)

    await socket.send("instruction", **frame)
    answer = await socket.next()

    assert answer.get("message") == reason
    assert answer["type"] == ("error" if frame["kind"] == "end" else "ack")
    assert doors.sent == []
    await socket.send("instruction", index=0, kind="init")
    assert (await socket.until("ack"))["valid"]
    await socket.close()


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "",
        "[]",
        "{}",
        '{"type": "reboot"}',
        '{"type": "instruction"}',
        '{"type": "instruction", "index": "0", "kind": "init"}',
        '{"type": "instruction", "index": -1, "kind": "init"}',
        '{"type": "subscribe", "after": -4}',
        '{"type": "subscribe", "after": 1e99}',
        '{"type": ["instruction"]}',
        "[" * 5000,
    ],
)
async def test_malformed_frame_is_answered_and_does_not_end_the_run(
    tab, run, owner, doors, reload, text
):
    socket = await tab(run.pk, owner)

    message = {"type": "websocket.receive", "text": text}
    await socket.socket.send_input(message)
    answer = await socket.next()

    assert answer["type"] == "error"
    assert answer["message"].startswith("This frame was not understood.")
    await reload()
    assert run.status == Run.Status.PENDING
    await socket.send("instruction", index=0, kind="init")
    assert (await socket.until("ack"))["valid"]
    await socket.close()


async def test_pings_are_harmless(tab, run, owner):
    socket = await tab(run.pk, owner)

    await socket.send("ping")

    assert await socket.socket.receive_nothing(timeout=0.1)
    await socket.close()


async def test_ten_misunderstood_frames_in_a_row_close_with_4400(tab, run, owner):
    socket = await tab(run.pk, owner)

    for _ in range(consumers.MAX_BAD_FRAMES):
        await socket.socket.send_to(text_data="?")

    assert await socket.to_close() == 4400
    assert socket.seen[-2]["message"] == "Too many frames were no frames."


async def test_binary_frame_closes_with_4400_and_the_reason(tab, run, owner):
    socket = await tab(run.pk, owner)

    await socket.socket.send_to(bytes_data=b"\x00\x01")

    assert await socket.to_close() == 4400
    assert "binary" in socket.seen[0]["message"]


async def test_frame_above_64_kib_closes_with_4400(tab, run, owner, reload):
    socket = await tab(run.pk, owner)

    await socket.send("cancel", padding="x" * 70_000)

    assert await socket.to_close() == 4400
    await reload()
    assert run.cancel_requested_at is None


async def test_visitor_who_is_not_signed_in_gets_4401(tab, run):
    socket = await tab(run.pk)

    assert await socket.to_close() == 4401
    assert len(socket.seen) == 1


async def test_stranger_gets_4403(tab, run, stranger):
    socket = await tab(run.pk, stranger)

    assert await socket.to_close() == 4403
    assert len(socket.seen) == 1


@pytest.mark.parametrize("run_id", [999_999, "9" * 18, "nonsense"])
async def test_unknown_run_gets_4404(tab, owner, run_id):
    socket = await tab(run_id, owner)

    assert await socket.to_close() == 4404


async def test_admin_follows_and_cancels_any_run(tab, run, admin):
    socket = await tab(run.pk, admin)

    await socket.send("cancel")

    assert (await socket.until("run"))["status"] == "cancelled"


@pytest.mark.parametrize("origin", [b"http://evil.example", b"null", b""])
async def test_page_of_another_site_cannot_connect(run, owner, origin):
    tab = await sync_to_async(Tab)(run.pk, owner, origin=origin)

    connected, _ = await tab.socket.connect(timeout=PATIENCE_S)

    assert not connected


async def _deactivate(tab, run, owner):
    owner.is_active = False
    await owner.asave()
    return 4401


async def _end_session(tab, run, owner):
    await Session.objects.filter(session_key=tab.session_key).adelete()
    return 4401


async def _change_password(tab, run, owner):
    owner.set_password("another-pass")
    await owner.asave()
    return 4401


async def _give_away(tab, run, owner):
    other = await type(owner).objects.acreate(username="other")
    await Testbed.objects.filter(pk=run.testbed_id).aupdate(owner=other)
    return 4403


@pytest.mark.parametrize(
    "loses", [_deactivate, _end_session, _change_password, _give_away]
)
async def test_who_loses_the_right_is_refused_at_the_next_frame(
    tab, run, owner, doors, reload, loses
):
    socket = await tab(run.pk, owner)
    code = await loses(socket, run, owner)

    await socket.send("instruction", index=0, kind="init")

    assert await socket.to_close() == code
    assert doors.sent == []
    await reload()
    assert run.status == Run.Status.PENDING


async def test_who_loses_the_right_stops_hearing_without_a_frame(
    tab, run, owner, monkeypatch
):
    monkeypatch.setattr(consumers, "TICK_S", 0.05)
    socket = await tab(run.pk, owner)

    await _deactivate(socket, run, owner)

    assert await socket.to_close() == 4401


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
        await sync_to_async(record)(run.pk, "log", text=text)
    late = await tab(run.pk, owner)

    await sync_to_async(record)(run.pk, "log", text="third")
    await asyncio.sleep(5 * consumers.TICK_S)
    await late.send("subscribe", after=0)
    await late.until("event", text="third")

    assert [frame["text"] for frame in late.seen] == ["first", "second", "third"]
    await late.close()


async def test_silent_client_hears_what_is_new_in_the_end(tab, run, owner, monkeypatch):
    monkeypatch.setattr(consumers, "SILENCE_S", 0.05)
    await sync_to_async(record)(run.pk, "log", text="old")
    silent = await tab(run.pk, owner)

    await sync_to_async(record)(run.pk, "log", text="new")

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


async def test_run_that_is_over_ends_a_silent_client(tab, run, owner, monkeypatch):
    monkeypatch.setattr(consumers, "SILENCE_S", 0.05)
    await sync_to_async(request_cancel)(run.pk, owner)

    socket = await tab(run.pk, owner)

    assert (await socket.next())["type"] == "run"
    assert await socket.to_close() == 1000


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


@pytest.mark.parametrize("steps", range(5))
async def test_tab_that_closes_while_news_come_is_followed_no_more(steps):
    """At each of the few steps of the loop between the bell and the news."""

    async def no_news():
        return None

    consumer = consumers.RunConsumer()
    consumer._news = asyncio.Event()
    consumer._opened_at = 0.0
    consumer._has_spoken = True
    consumer._send_news = no_news
    following = asyncio.create_task(consumer._follow())
    await asyncio.sleep(0)

    consumer._news.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    following.cancel()

    done, _ = await asyncio.wait({following}, timeout=2)
    following.cancel()
    assert done


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


async def test_cancel_of_what_runs_ends_cancelled(tab, run, owner, doors):
    doors.is_automatic = True
    doors.engine.holds = {"init"}
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("event", kind="task-started")

    await socket.send("cancel")
    await socket.send("cancel")
    end = await socket.until("run")

    assert end["status"] == "cancelled"
    assert await socket.to_close() == 1000
    (result,) = socket.of("result")
    assert (result["index"], result["success"]) == (0, False)
    kinds = [frame["kind"] for frame in socket.of("event")]
    assert kinds.count("cancel-requested") == 1


async def test_cancel_while_nothing_runs_ends_at_once(tab, run, owner, doors):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("result")

    await socket.send("cancel")

    assert (await socket.until("run"))["status"] == "cancelled"


async def test_failed_instruction_has_a_result_and_ends_the_run(
    tab, run, plan, owner, doors
):
    doors.is_automatic = True
    doors.engine.fails = {"lab"}
    socket = await tab(run.pk, owner)

    await socket.send("instruction", index=0, kind="init")
    result = await socket.until("result")
    end = await socket.until("run")

    assert not result["success"]
    assert result["message"] == "1 of 1 failed: lab does not work."
    assert end["status"] == "failed"


async def test_events_come_without_a_doorbell_a_little_later(
    tab, run, owner, monkeypatch
):
    monkeypatch.setattr("testbed.recorder.ring", lambda run_id, seq: None)
    socket = await tab(run.pk, owner)
    await socket.send("ping")

    await sync_to_async(record)(run.pk, "log", text="unheard")

    assert (await socket.until("event"))["text"] == "unheard"
    await socket.close()


async def test_socket_opens_and_follows_while_the_channel_layer_is_down(
    tab, run, owner, monkeypatch
):
    class DeadLayer:
        async def new_channel(self, *words):
            raise ConnectionRefusedError

        group_send = new_channel

    monkeypatch.setattr(consumers, "TICK_S", 0.05)
    monkeypatch.setattr("testbed.doorbell.get_channel_layer", DeadLayer)
    socket = await tab(run.pk, owner)
    await socket.send("ping")

    await sync_to_async(record)(run.pk, "log", text="heard")

    assert (await socket.until("event"))["text"] == "heard"
    await socket.close()


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


async def test_pages_of_events_are_bounded(tab, run, owner, monkeypatch):
    monkeypatch.setattr(follower, "PAGE_EVENTS", 7)
    for number in range(20):
        await sync_to_async(record)(run.pk, "log", text=str(number))
    socket = await tab(run.pk, owner)

    await socket.send("subscribe", after=0)
    for _ in range(20):
        await socket.until("event")

    assert [f["text"] for f in socket.of("event")] == [str(n) for n in range(20)]
    await socket.close()


async def test_page_that_wants_the_tail_is_told_what_it_does_not_get(
    tab, run, owner, monkeypatch
):
    monkeypatch.setattr(follower, "TAIL_LINES", 3)
    for number in range(10):
        await sync_to_async(record)(run.pk, "log", text=str(number))
    socket = await tab(run.pk, owner, "?render=html&batch=1&log=tail")

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


async def test_driver_stays_the_driver_while_its_socket_is_open(
    tab, run, owner, doors, monkeypatch, reload
):
    monkeypatch.setattr(consumers, "TICK_S", 0.05)
    socket = await tab(run.pk, owner)
    await socket.send("instruction", index=0, kind="init")
    await socket.until("ack")
    long_ago = timezone.now() - timedelta(hours=1)
    await Run.objects.filter(pk=run.pk).aupdate(driver_seen_at=long_ago)

    while run.driver_seen_at is None or run.driver_seen_at <= long_ago:
        await asyncio.sleep(0.02)
        await reload()

    assert run.driver == Run.Driver.CLIENT
    await socket.close()


async def test_down_speaks_the_same_protocol(
    tab, run, plan, owner, doors, make_run, testbed
):
    doors.is_automatic = True
    socket = await tab(run.pk, owner)
    await drive(socket, plan)
    await socket.to_close()
    down = await sync_to_async(make_run)(Command.DOWN)

    socket = await tab(down.pk, owner)
    await drive(socket, [(i["index"], i["kind"]) for i in down.plan["instructions"]])

    assert (await socket.until("run"))["message"] == "Everything is taken down."
