"""A console's websocket with a real gateway: who gets through, until when, how much."""

import asyncio
import json
import threading
import time

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.db import OperationalError
from django.test import Client

from testbed.access.sessions import SessionStore, hashed
from testbed.access.tokens import make_token
from testbed.asgi import websockets
from testbed.consoles.messages import MAX_BYTES
from testbed.consoles.rfb import VERSION
from testbed.consoles.tickets import Mode, Ticket, issue
from testbed.models import ApiToken, Testbed
from testbed.websocket import console
from testbed.websocket.console import WINDOW_BYTES, Times
from testbed.websocket.consumer import Pace
from tests.testbed.consoles.guests import Guests, eventually, gateway
from tests.testbed.consoles.test_rfb import ASK, HELLO, KEY
from tests.testbed.websocket.browser_tab import PATIENCE_S

pytestmark = pytest.mark.django_db(transaction=True)
QUICK = Times(ticket_s=600.0, check_s=0.05)


class Screen:
    """A page at a console, which shows nothing by itself."""

    def __init__(self, user, origin=b"http://localhost", times=QUICK, token=""):
        client = Client()
        if token:
            self.session = token
        elif user is not None:
            client.force_login(user)
            self.session = client.cookies["sessionid"].value
        self.user = user
        headers = [(b"host", b"localhost"), (b"origin", origin)]
        cookies = "; ".join(f"{k}={v.value}" for k, v in client.cookies.items())
        headers.append((b"cookie", cookies.encode()))
        if token:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        self.socket = WebsocketCommunicator(
            websockets(Pace(), times), "/ws/console/", headers=headers
        )
        self.words, self.data, self.code = [], bytearray(), None
        self.has_failed = False

    def ticket(self, testbed, **fields):
        values = {
            "user_id": self.user.pk,
            "user": self.user.username,
            "session": hashed(self.session),
            "testbed_id": testbed.pk,
            "testbed": testbed.slug,
            "testbed_number": testbed.number,
            "guest": "web",
            "mode": Mode.SERIAL,
            "may_type": True,
            "issued_at": time.time(),
        }
        return issue(Ticket(**(values | fields)))

    async def say(self, **words):
        await self.socket.send_to(text_data=json.dumps(words))

    async def until(self, found):
        while not found(self):
            message = await self.socket.receive_output(timeout=PATIENCE_S)
            if message["type"] == "websocket.close":
                self.code = message["code"]
                assert found(self), (self.code, self.words)
            elif message.get("text") is not None:
                self.words.append(json.loads(message["text"]))
            else:
                self.data += message["bytes"]

    async def to_close(self):
        await self.until(lambda screen: screen.code is not None)
        return self.code

    async def leave(self):
        """Close, and see that the consumer ends by itself."""
        if not self.socket.future.done():
            await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait([self.socket.future])
        if not self.has_failed and not self.socket.future.cancelled():
            self.socket.future.result()
        await asyncio.sleep(0)

    async def until_open(self):
        await self.until(lambda s: any(w.get("state") == "open" for w in s.words))


@pytest.fixture
def guests():
    return Guests()


@pytest.fixture
async def running(guests, settings, tmp_path):
    settings.CONSOLE_SOCKET = tmp_path / "console.sock"
    async with gateway(guests, settings.CONSOLE_SOCKET) as serving:
        yield serving


@pytest.fixture
async def screen():
    opened = []

    async def connect(user, testbed=None, times=QUICK, token="", **fields):
        made = await sync_to_async(Screen)(user, times=times, token=token)
        opened.append(made)
        assert (await made.socket.connect(timeout=PATIENCE_S))[0]
        if testbed is not None:
            await made.say(type="open", ticket=made.ticket(testbed, **fields))
        return made

    yield connect
    for made in opened:
        await made.leave()


async def test_owner_types_and_sees(screen, running, guests, owner, testbed):
    shown = await screen(owner, testbed)
    await shown.until_open()

    await shown.socket.send_to(bytes_data=b"id\n")
    await eventually(lambda: guests.serials[0].typed == b"id\n")
    guests.serials[0].print(b"uid=0")

    await shown.until(lambda s: s.data == b"uid=0")


async def test_typing_waits_for_no_page(screen, running, guests, owner, testbed):
    shown = await screen(owner, testbed)
    await shown.until_open()
    page_is_done = threading.Event()
    page = asyncio.create_task(sync_to_async(page_is_done.wait)(PATIENCE_S))

    try:
        await shown.socket.send_to(bytes_data=b"id\n")
        await eventually(lambda: guests.serials[0].typed == b"id\n")
        assert not page.done()
    finally:
        page_is_done.set()
        await page


async def test_reader_types_nothing(screen, running, guests, owner, testbed):
    shown = await screen(owner, testbed, may_type=False)
    await shown.until_open()

    await shown.socket.send_to(bytes_data=b"poweroff\n")
    guests.serials[0].print(b"quiet")
    await shown.until(lambda s: s.data == b"quiet")

    assert guests.serials[0].typed == b""


async def test_reader_of_a_screen_gets_pictures_and_types_nothing(
    screen, running, guests, owner, testbed
):
    shown = await screen(owner, testbed, mode=Mode.SCREEN, may_type=False)
    await shown.until(lambda s: s.data == VERSION)

    await shown.say(type="ready")
    await shown.socket.send_to(bytes_data=HELLO + KEY + ASK)

    await eventually(lambda: guests.screens[0].received.endswith(ASK))
    assert guests.screens[0].received == HELLO + ASK


async def test_visitor_who_is_not_signed_in_gets_4401(screen, running):
    assert await (await screen(None)).to_close() == 4401


@pytest.mark.parametrize("persona", ["stranger", "staff"])
async def test_stranger_opens_nothing_even_with_a_ticket(
    screen, running, guests, stranger, testbed, persona
):
    stranger.is_staff = persona == "staff"
    await stranger.asave()

    shown = await screen(stranger, testbed)

    assert await shown.to_close() == 4404
    assert guests.serials == []


async def test_admin_opens_any_console(screen, running, admin, testbed):
    await (await screen(admin, testbed)).until_open()


@pytest.mark.parametrize(
    "theft", [{"session": hashed("another")}, {"user_id": 999_999}, {"issued_at": 0.0}]
)
async def test_ticket_of_another_session_opens_nothing(
    screen, running, guests, owner, testbed, theft
):
    shown = await screen(owner, testbed, **theft)

    assert await shown.to_close() in (4400, 1000)
    assert guests.serials == []


@pytest.mark.parametrize(
    "message",
    [
        {"text_data": "{"},
        {"text_data": '{"type": "open", "ticket": "no"}'},
        {"text_data": '{"type": "resize", "columns": 80, "rows": 24}'},
        {"text_data": '{"type": "taken", "bytes": 1}'},
        {"text_data": " " * (MAX_BYTES + 1)},
        {"bytes_data": b"reboot\n"},
        {"bytes_data": b" " * (MAX_BYTES + 1)},
    ],
)
async def test_message_that_is_no_ticket_closes_the_socket(
    screen, running, guests, owner, message
):
    shown = await screen(owner)

    await shown.socket.send_to(**message)

    assert await shown.to_close() == 4400
    assert guests.serials == []


async def test_silent_page_is_closed(screen, running, owner):
    shown = await screen(owner, times=Times(ticket_s=0.1))

    assert await shown.to_close() == 4400


async def test_page_of_another_site_cannot_connect(owner):
    made = await sync_to_async(Screen)(owner, origin=b"http://evil.example")

    assert not (await made.socket.connect(timeout=PATIENCE_S))[0]


async def _end_session(shown, owner, testbed):
    await SessionStore(shown.session).adelete()
    return 4401


async def _deactivate(shown, owner, testbed):
    owner.is_active = False
    await owner.asave()
    return 4401


async def _give_away(shown, owner, testbed):
    other = await type(owner).objects.acreate(username="other")
    await Testbed.objects.filter(pk=testbed.pk).aupdate(owner=other)
    return 4404


@pytest.mark.parametrize("loses", [_end_session, _deactivate, _give_away])
async def test_user_who_loses_the_right_loses_the_console(
    screen, running, guests, owner, testbed, loses
):
    shown = await screen(owner, testbed)
    await shown.until_open()

    code = await loses(shown, owner, testbed)

    assert await shown.to_close() == code
    await eventually(lambda: not guests.serials[0].is_alive())


async def _delete_share(user, testbed):
    await testbed.shares.all().adelete()


async def _leave_group(user, testbed):
    await user.groups.aclear()


async def _become_viewer(user, testbed):
    await testbed.shares.aupdate(role="viewer")


@pytest.mark.parametrize("loses", [_delete_share, _leave_group, _become_viewer])
async def test_operator_who_loses_the_share_loses_the_console(
    screen, running, guests, testbed, share, loses
):
    by_group = loses is _leave_group
    user = await sync_to_async(share)(testbed, "operator", by_group=by_group)
    shown = await screen(user, testbed)
    await shown.until_open()

    await loses(user, testbed)

    assert await shown.to_close() == 4404
    await eventually(lambda: not guests.serials[0].is_alive())


async def test_viewer_watches_and_opens_nothing_to_type_into(
    screen, running, guests, testbed, share
):
    viewer = await sync_to_async(share)(testbed, "viewer")

    await (await screen(viewer, testbed, may_type=False)).until_open()

    assert await (await screen(viewer, testbed)).to_close() == 4404


def test_share_ends_within_five_seconds():
    assert Times().check_s + 1 < 5
    assert Pace().tick_s + 1 < 5


async def test_page_learns_that_no_gateway_answers(
    screen, settings, tmp_path, owner, testbed
):
    settings.CONSOLE_SOCKET = tmp_path / "nothing.sock"

    assert await (await screen(owner, testbed)).to_close() == 4503


async def test_page_that_shows_nothing_gets_a_window_only(
    screen, running, guests, owner, testbed
):
    shown = await screen(owner, testbed, mode=Mode.SHELL)
    await shown.until_open()
    [shell] = guests.shells
    for _ in range(100):
        shell.printed.put(b"y" * MAX_BYTES)

    await shown.until(lambda s: len(s.data) >= WINDOW_BYTES)
    assert await shown.socket.receive_nothing(timeout=0.3)
    assert len(shown.data) < WINDOW_BYTES + MAX_BYTES
    assert shell.reads < 50
    await shown.say(type="taken", bytes=len(shown.data))

    await shown.until(lambda s: len(s.data) >= 2 * WINDOW_BYTES)


async def test_console_of_a_cancelled_consumer_is_left(
    screen, running, guests, owner, testbed
):
    shown = await screen(owner, testbed, mode=Mode.SHELL)
    await shown.until_open()

    # As Daphne does with one that waits longer than some seconds after its client left.
    shown.socket.future.cancel()

    await eventually(lambda: guests.shells[0].is_closed)


async def test_console_of_a_consumer_that_fails_is_left(
    screen, running, guests, owner, testbed, monkeypatch
):
    shown = await screen(owner, testbed, mode=Mode.SHELL)
    await shown.until_open()
    before = asyncio.all_tasks()

    def fail(*_: object, **__: object):
        raise OperationalError("the database is away")

    monkeypatch.setattr(console, "record_act", fail)
    monkeypatch.setattr(console, "read_words", fail)
    await shown.say(type="resize")
    await eventually(shown.socket.future.done)

    await eventually(lambda: guests.shells[0].is_closed)
    left = {task.get_coro().__name__ for task in before if not task.done()}
    assert not left & {"_check", "_copy"}
    shown.has_failed = True
    with pytest.raises(OperationalError):
        shown.socket.future.result()


async def test_opening_and_end_are_logged(screen, running, owner, testbed, caplog):
    caplog.set_level("INFO", "testbed.access.record")
    shown = await screen(owner, testbed)
    await shown.until_open()

    await shown.leave()

    acts = [text for text in caplog.messages if text.startswith("act console ")]
    assert acts[0] == "act console by olive on lab: opened the serial console of web"
    assert acts[1].startswith(
        "act console by olive on lab: left the serial console of web after "
    )


async def test_user_with_too_many_sockets_gets_4429(
    screen, running, owner, testbed, settings
):
    settings.USER_LIMITS = {**settings.USER_LIMITS, "sockets": 1}
    first = await screen(owner, testbed)
    await first.until_open()

    assert await (await screen(owner, testbed)).to_close() == 4429


def token_of(user, *scopes):
    return make_token(user, "ci", scopes, 7)[1]


async def test_token_opens_a_console_until_it_is_revoked(
    screen, running, testbed, owner
):
    token = await sync_to_async(token_of)(owner, "run")
    opened = await screen(owner, testbed, token=token)
    await opened.until_open()

    await ApiToken.objects.all().adelete()

    assert await opened.to_close() == 4401


async def test_token_without_the_scope_does_not_type(screen, running, testbed, owner):
    token = await sync_to_async(token_of)(owner)
    typing = await screen(owner, testbed, token=token)
    watching = await screen(owner, testbed, token=token, may_type=False)

    assert await typing.to_close() == 4404
    await watching.until_open()


async def test_ticket_of_a_session_is_none_of_a_token(screen, running, testbed, owner):
    page = await screen(owner)
    token = await sync_to_async(token_of)(owner, "run")
    program = await screen(owner, token=token)

    await program.say(type="open", ticket=page.ticket(testbed))

    assert await program.to_close() == 4400
