"""`/ws/console/`: one console of a guest, for a page or program that has a ticket.

The first message is the ticket, which has to be this session's or API token's. From
then on bytes go both ways between the page and the gateway, and text is words
(docs/protocol.md). Output waits until the page has shown what it got. User and
permission are asked for again every few seconds, whatever moves.

Close codes: 4400 for what is no message, or no ticket within some seconds; 4401, 4404
and 4429 as in `consumer`; 4503 where no gateway answers, or it went; 1000 after words
that say why the console has ended.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from channels.db import database_sync_to_async

from testbed.access.origin import note_address_of_socket
from testbed.access.permissions import acted_as, may, record_act
from testbed.access.sessions import hashed
from testbed.consoles.link import GatewayAway, Link, open_link
from testbed.consoles.messages import (
    MAX_BYTES,
    BadMessage,
    Kind,
    Open,
    Taken,
    read_words,
    state_words,
)
from testbed.consoles.tickets import Ticket, TicketRefused, read
from testbed.models import Testbed
from testbed.websocket.follower import NOT_SIGNED_IN, signed_in
from testbed.websocket.leaving import NOT_UNDERSTOOD, LeavingConsumer
from testbed.websocket.origin import token_of

logger = logging.getLogger(__name__)
_in_thread = database_sync_to_async

NOT_FOR_YOU = 4404
AWAY = 4503
OVER = 1000
# A page has so much on its way; it says what it has shown.
WINDOW_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Times:
    """How long a page may be silent, and how often the user is checked again."""

    ticket_s: float = 10.0
    check_s: float = 2.0


class ConsoleConsumer(LeavingConsumer):
    """One page at one console."""

    failed_code = AWAY

    def __init__(self, *, times: Times) -> None:
        super().__init__()
        self._times = times
        self._ticket: Ticket | None = None
        self._testbed: Testbed | None = None
        self._role = ""
        self._token: str | None = None
        self._link: Link | None = None
        self._unshown = 0
        self._has_shown = asyncio.Event()
        self._opened_at = time.monotonic()

    async def connect(self) -> None:
        """Accept a signed-in user, who has some seconds for the ticket."""
        self._opened_at = time.monotonic()
        note_address_of_socket(self.scope)
        self._token = token_of(self.scope)
        self._user = await _in_thread(signed_in)(self._session, self._token)
        await self.accept()
        if self._user is None:
            await self._close(NOT_SIGNED_IN)
            return
        self._start(self._expect_ticket())

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Pass typing on, or carry out words."""
        if self._is_closed:
            return
        try:
            await self._receive(text_data, bytes_data)
        except (BadMessage, TicketRefused) as exc:
            await self._close(NOT_UNDERSTOOD, exc.message)
        except (GatewayAway, ConnectionError):
            await self._close(AWAY)

    async def disconnect(self, code: int) -> None:
        """Leave the console."""
        await super().disconnect(code)
        # At last, as it may fail; a second call has nothing left to record.
        ticket, self._ticket = self._ticket, None
        if self._link is not None and ticket:
            seconds = round(time.monotonic() - self._opened_at)
            await self._record(ticket, f"left the {ticket} after {seconds} s")

    async def _receive(self, text: str | None, data: bytes | None) -> None:
        if max(len(text or ""), len(data or b"")) > MAX_BYTES:
            raise BadMessage("Messages have at most 64 KiB.")
        if text is None:
            if self._link is None or self._ticket is None:
                raise BadMessage("A console begins with its ticket.")
            if self._ticket.may_send:
                await self._link.type(data or b"")
            return
        words = read_words(text)
        if isinstance(words, Open):
            await self._open(words)
        elif self._link is None:
            raise BadMessage("A console begins with its ticket.")
        elif isinstance(words, Taken):
            self._unshown = max(0, self._unshown - words.bytes)
            self._has_shown.set()
        else:
            await self._link.say(words)

    async def _open(self, words: Open) -> None:
        """Hand the ticket in. Raises: BadMessage, TicketRefused, GatewayAway."""
        if self._ticket is not None or self._user is None:
            raise BadMessage("A console is opened once.")
        ticket = read(words.ticket)
        is_own = ticket.session == hashed(self._token or self._session)
        if not is_own or ticket.user_id != self._user.pk:
            raise TicketRefused
        self._ticket = ticket
        if not await self._may_stay():
            return
        if not await self._enter(self._user):
            return
        link = await open_link()
        if self._is_closed or self._testbed is None:  # it was left meanwhile
            link.close()
            return
        self._link = link
        await link.say(words)
        await self._record(ticket, f"opened the {ticket}")
        self._start(self._copy(link))
        self._start(self._check())

    async def _copy(self, link: Link) -> None:
        """Copy what the gateway sends, no faster than the page shows it."""
        while (frame := await link.next()) is not None:
            await self._wait_for_page()
            if frame.kind is Kind.DATA:
                self._unshown += len(frame.content)
                if not self._is_closed:
                    await self.send(bytes_data=frame.content)
                continue
            words = json.loads(frame.content)
            await self._send(words)
            if words.get("state") in ("over", "idle", "failed"):
                await self._close(OVER)
                return
        await self._close(AWAY)

    async def _wait_for_page(self) -> None:
        while self._unshown >= WINDOW_BYTES:
            self._has_shown.clear()
            await self._has_shown.wait()
        await self.scope["gate"].wait()

    async def _check(self) -> None:
        while await self._may_stay():
            await asyncio.sleep(self._times.check_s)

    async def _expect_ticket(self) -> None:
        await asyncio.sleep(self._times.ticket_s)
        if self._ticket is None:
            await self._close(NOT_UNDERSTOOD)

    async def _may_stay(self) -> bool:
        """Ask again whether its user may have this console."""
        refusal = await _in_thread(self._refusal)()
        if refusal:
            await self._close(refusal)
        return not refusal

    def _refusal(self) -> int:
        user, ticket = signed_in(self._session, self._token), self._ticket
        if user is None:
            return NOT_SIGNED_IN
        if ticket is None:
            return NOT_UNDERSTOOD
        visible = Testbed.objects.all().visible_to(user).select_related("owner")
        found = visible.filter(pk=ticket.testbed_id).first()
        if found is None or not may(user, ticket.act, found):
            return NOT_FOR_YOU
        self._testbed, self._role = found, acted_as(user, found)
        return 0

    async def _record(self, ticket: Ticket, what: str) -> None:
        if self._user and self._testbed:
            write = _in_thread(record_act)
            await write(self._user, ticket.act, self._testbed, what, role=self._role)

    def _refused(self, reason: str) -> Mapping[str, object]:
        return state_words("failed", reason)

    def _end(self) -> None:
        """End the console at once, whether or not the page answers the close."""
        super()._end()
        if self._link is not None:
            self._link.close()

    def _note_failure(self, problem: BaseException) -> None:
        if not isinstance(problem, ConnectionError):
            logger.error("the %s failed", self._ticket, exc_info=problem)
