"""The websocket of the list of testbeds: whose rows it sends, how often, and its bounds.

Frames of runs come by the board's slow look here: the in-memory layer rings in its own
loop only. One test rings in the board's loop.
"""

import json

import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.layers import get_channel_layer
from django.contrib.auth.models import User
from django.db import OperationalError

from testbed.access.roles import Role
from testbed.access.sessions import SessionStore
from testbed.asgi import addresses, websockets
from testbed.models import ObservedGuest, Run, Share, Testbed
from testbed.pages.listing import shown
from testbed.pages.listing.rows import rows_of
from testbed.runs import doorbell
from testbed.runs.cancelling import request_cancel
from testbed.websocket import board as board_module
from testbed.websocket.backpressure import Gate
from testbed.websocket.board import Beat, Board, Watcher
from testbed.websocket.consumer import Pace
from testbed.websocket.rows import rest_s
from tests.testbed.websocket.browser_tab import Tab

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/ws/testbeds/"
OFTEN = Beat(least_s=0.01, all_s=0.05, check_s=0.05)
# Only a bell brings a look within a test.
BY_BELL = Beat(least_s=0.01, all_s=600.0, check_s=600.0)
PERSONAS = ["viewer", "operator", "editor", "owner", "admin"]


@pytest.fixture
def application():
    """The websockets of one process."""
    return websockets(Pace(), beat=OFTEN)


@pytest.fixture
def listing(application):
    """Open lists: `await listing(user, testbed, …)` shows their rows, of no version."""

    async def open_list(user, *testbeds, application=application):
        made = sync_to_async(Tab)(0, user, path=LIST, application=application)
        tab = await (await made).open()
        await tab.send("show", rows={testbed.pk: "" for testbed in testbeds})
        return tab

    return open_list


@pytest.fixture
def users(owner, stranger, admin, testbed, share):
    staff = User.objects.create_user("steve", password="steve-pass", is_staff=True)
    others = {"owner": owner, "stranger": stranger, "admin": admin, "staff": staff}
    return {**others, **{role.value: share(testbed, role.value) for role in Share.Role}}


def rows_in(frame):
    """Return the frame's rows by the ids of their last cells."""
    return frame["html"].count('id="last-run-of-')


async def change(testbed, status="running"):
    """Let a guest of a testbed be seen as it was not before."""
    await ObservedGuest.objects.aupdate_or_create(
        testbed=testbed,
        name="web",
        defaults={"host": "main", "status": status, "observed_at": testbed.created_at},
    )


def test_personas_are_all_roles():
    admin = {"lab admin": "admin"}

    assert [admin.get(role, role) for role in Role] == PERSONAS


@pytest.mark.parametrize("persona", PERSONAS)
async def test_user_of_a_testbed_gets_its_cells(listing, users, testbed, persona):
    tab = await listing(users[persona], testbed)

    frame = await tab.until("rows")
    await change(testbed)
    later = await tab.until("rows")
    await tab.close()

    assert f'id="condition-of-{testbed.pk}"' in frame["html"]
    assert "never run" in frame["html"]
    assert "1<span" in later["html"]


@pytest.mark.parametrize("persona", ["stranger", "staff"])
async def test_stranger_gets_no_row_and_learns_of_none(
    listing, users, testbed, owner, persona
):
    tab = await listing(users[persona], testbed)
    told = await tab.until("shown")

    await change(testbed)
    watches = await listing(owner, testbed)
    await watches.until("rows")
    await tab.send("show", rows={})
    await tab.until("shown")
    await tab.close()
    await watches.close()

    assert told["rows"] == 0
    assert tab.of("rows") == []


async def test_visitor_who_is_not_signed_in_gets_4401(listing, testbed):
    tab = await listing(None, testbed)

    assert await tab.to_close() == 4401
    assert len(tab.seen) == 1


@pytest.mark.parametrize(
    "frame",
    [
        {"text_data": "{"},
        {"text_data": '{"type": "show"}'},
        {"text_data": '{"type": "show", "rows": {"x": ""}}'},
        {"text_data": '{"type": "show", "rows": {"-1": ""}}'},
        {"text_data": '{"type": "show", "rows": {"99999999999999999999": ""}}'},
        {"text_data": json.dumps({"type": "show", "rows": {"1": "v" * 41}})},
        {
            "text_data": json.dumps(
                {"type": "show", "rows": dict.fromkeys(range(1, 52), "")}
            )
        },
        {"text_data": '{"type": "cancel"}'},
        {"text_data": " " * 70_000},
        {"bytes_data": b"\0"},
    ],
)
async def test_message_that_is_no_frame_closes_with_4400(
    listing, owner, testbed, frame
):
    tab = await listing(owner)

    await tab.socket.send_to(**frame)

    assert await tab.to_close() == 4400
    assert len(tab.of("error")) == 1


async def test_row_that_the_page_has_already_is_not_sent(listing, owner, testbed):
    row = (await sync_to_async(shown_rows)([testbed]))[testbed.pk]
    tab = await listing(owner)

    await tab.send("show", rows={testbed.pk: row.version})
    await tab.until("shown", rows=1)
    await change(testbed)
    frame = await tab.until("rows")
    await tab.close()

    assert len(tab.of("rows")) == 1
    assert "1<span" in frame["html"]


def shown_rows(testbeds):
    """Return the cells of testbeds as a page has them."""
    rows = rows_of(list(Testbed.objects.filter(pk__in=[t.pk for t in testbeds])))
    return {row.testbed.pk: shown.cells_of(row) for row in rows}


async def test_bell_of_a_run_brings_its_row_alone(listing, owner, testbed, make_run):
    by_bell = websockets(Pace(), beat=BY_BELL)
    other = await Testbed.objects.acreate(owner=owner, slug="other", number=8)
    run = await sync_to_async(make_run)()
    tab = await listing(owner, testbed, other, application=by_bell)
    first = await tab.until("rows")

    await Run.objects.filter(pk=run.pk).aupdate(status=Run.Status.CANCELLING)
    message = {"type": "news", "run": run.pk, "seq": 1}
    await get_channel_layer().group_send(doorbell.ALL, message)
    frame = await tab.until("rows")
    await tab.close()

    assert (rows_in(first), rows_in(frame)) == (2, 1)
    assert "cancelling" in frame["html"]


async def test_run_that_ends_is_no_longer_counted(listing, owner, make_run, doors):
    run = await sync_to_async(make_run)()
    tab = await listing(owner, run.testbed)
    before = await tab.until("running")

    await sync_to_async(request_cancel)(run.pk, owner)
    after = await tab.until("running")
    await tab.close()

    assert "1 run going on now" in before["html"]
    assert "no run is going on" in after["html"]


async def test_lists_of_one_process_share_one_rendering(
    listing, users, testbed, monkeypatch
):
    rendered = []
    real = shown.render_to_string

    def count(template, context):
        rendered.append(template)
        return real(template, context)

    monkeypatch.setattr(shown, "render_to_string", count)
    shown._cells.cache_clear()
    tabs = [await listing(users[persona], testbed) for persona in PERSONAS]

    frames = [await tab.until("rows") for tab in tabs]
    for tab in tabs:
        await tab.close()

    assert len({frame["html"] for frame in frames}) == 1
    assert rendered == ["testbeds/listing/_cells.html"]


async def test_testbed_that_comes_or_goes_lets_the_page_load_its_rows(
    listing, owner, testbed
):
    tab = await listing(owner, testbed)
    await tab.until("rows")

    other = await Testbed.objects.acreate(owner=owner, slug="other", number=8)
    await tab.until("stale")
    await other.adelete()
    await tab.until("stale")
    await tab.close()


@pytest.mark.parametrize("by_group", [False, True])
async def test_share_that_is_taken_away_ends_the_rows(
    listing, owner, testbed, share, by_group
):
    user = await sync_to_async(share)(testbed, "operator", by_group=by_group)
    tab, watches = await listing(user, testbed), await listing(owner, testbed)
    await tab.until("rows")
    await watches.until("rows")

    if by_group:
        await user.groups.aclear()
    else:
        await testbed.shares.all().adelete()
    await tab.until("stale")
    await change(testbed)
    await watches.until("rows")
    await tab.send("show", rows={testbed.pk: ""})
    told = await tab.until("shown", rows=0)
    await tab.close()
    await watches.close()

    assert told["rows"] == 0
    assert len(tab.of("rows")) == 1


async def _deactivate(tab, owner):
    owner.is_active = False
    await owner.asave()


async def _end_session(tab, owner):
    await SessionStore(tab.session_key).adelete()


async def _change_password(tab, owner):
    owner.set_password("another-pass")
    await owner.asave()


@pytest.mark.parametrize("loses", [_deactivate, _end_session, _change_password])
async def test_user_who_is_signed_out_hears_no_more(listing, owner, testbed, loses):
    tab = await listing(owner, testbed)
    await tab.until("rows")

    await loses(tab, owner)

    assert await tab.to_close() == 4401


async def test_lists_count_among_the_sockets_of_a_user(
    listing, owner, testbed, settings
):
    settings.USER_LIMITS = {**settings.USER_LIMITS, "sockets": 1}
    first, second = await listing(owner, testbed), await listing(owner, testbed)

    code = await second.to_close()
    await first.close()
    third = await listing(owner, testbed)
    await third.until("rows")
    await third.close()

    assert code == 4429
    assert "1 are allowed" in second.of("error")[0]["message"]


def test_list_that_takes_no_frames_gathers_each_of_its_rows_once():
    watcher = Watcher()
    watcher.shown = frozenset(range(50))
    for _ in range(1000):
        watcher.tell(range(100))

    assert watcher.take() == watcher.shown
    assert watcher.take() == frozenset()


async def test_row_that_is_no_longer_shown_is_not_sent():
    watcher = Watcher()
    watcher.shown = frozenset({1, 2})
    watcher.tell({1, 2})
    watcher.shown = frozenset({2})

    assert watcher.take() == {2}


async def test_board_reads_for_open_lists_alone_and_then_keeps_nothing(testbed):
    board, watcher = Board(OFTEN), Watcher()
    board.enter(watcher)
    await board.show(watcher, {testbed.pk: ""})
    frame = board.frame_of(watcher.take())

    await board.show(watcher, {})
    await change(testbed)
    await board.show(watcher, {testbed.pk: ""})
    later = board.frame_of(watcher.take())
    board.leave(watcher)

    assert rows_in(json.loads(frame)) == 1
    assert later != frame
    assert json.loads(board.frame_of(frozenset({testbed.pk})))["html"] == ""


async def test_page_that_is_newer_than_the_board_keeps_its_cells(testbed):
    """An extended end rings no bell; the list is loaded again by the same click."""
    board, watcher = Board(BY_BELL), Watcher()
    board.enter(watcher)
    await board.show(watcher, {testbed.pk: ""})
    old = board.frame_of(watcher.take())
    await change(testbed)
    row = (await sync_to_async(shown_rows)([testbed]))[testbed.pk]

    await board.show(watcher, {testbed.pk: row.version})
    sent = board.frame_of(frozenset({testbed.pk}))
    board.leave(watcher)

    assert sent != old
    assert json.loads(sent)["html"] == row.html


async def test_board_looks_again_after_the_database_failed(testbed, monkeypatch):
    real, failures = board_module.rows_of, []

    def fail_once(testbeds):
        if not failures:
            failures.append(testbeds)
            raise OperationalError("the database is locked")
        return real(testbeds)

    board, watcher = Board(OFTEN), Watcher()
    board.enter(watcher)
    await board.show(watcher, {testbed.pk: ""})
    watcher.take()
    monkeypatch.setattr(board_module, "rows_of", fail_once)
    watcher.news.clear()

    await change(testbed)
    await watcher.news.wait()
    board.leave(watcher)

    assert len(failures) == 1


@pytest.mark.parametrize(
    ("spent_s", "rests_s"), [(0.0, 0.5), (0.01, 0.5), (0.1, 0.9), (60.0, 4.0)]
)
def test_page_that_sends_all_the_time_leaves_most_of_it_to_others(spent_s, rests_s):
    assert rest_s(spent_s, Beat()) == pytest.approx(rests_s)


async def test_second_frame_waits_for_the_beat(listing, owner, testbed):
    slowly = websockets(Pace(), beat=Beat(least_s=600.0, all_s=600.0, check_s=600.0))
    tab = await listing(owner, testbed, application=slowly)
    await tab.until("rows")

    await tab.send("show", rows={})

    assert await tab.socket.receive_nothing(timeout=0.2)
    assert len(tab.of("shown")) == 1
    tab.socket.future.cancel()


async def test_page_that_takes_nothing_is_answered_when_it_does(
    listing, owner, testbed
):
    gate, serve = Gate(), AuthMiddlewareStack(addresses(Pace(), beat=OFTEN))
    gate.pauseProducing()

    async def application(scope, receive, send):
        await serve({**scope, "gate": gate}, receive, send)

    tab = await listing(owner, testbed, application=application)

    assert await tab.socket.receive_nothing(timeout=0.2)
    gate.resumeProducing()
    await tab.until("shown", rows=1)
    await tab.close()


async def test_share_that_goes_while_another_comes_lets_the_page_load_its_rows(
    listing, owner, member, testbed
):
    """Neither how many testbeds the user sees nor the newest of them changes."""
    middle = await Testbed.objects.acreate(owner=owner, slug="middle", number=8)
    newest = await Testbed.objects.acreate(owner=owner, slug="newest", number=9)
    given = {"role": "viewer", "given_by": owner, "given_at": testbed.created_at}
    for one in (testbed, newest):
        await Share.objects.acreate(testbed=one, user=member, **given)
    tab = await listing(member, testbed, newest)
    await tab.until("shown", rows=2)

    await Share.objects.filter(testbed=testbed).aupdate(testbed=middle)

    await tab.until("stale")
    await tab.close()
