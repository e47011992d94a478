"""Bounds the bodies of requests while Daphne receives them.

Twisted keeps a whole body before it calls Daphne, and Daphne gives all of it to the
application: an ASGI application cannot refuse a body that was not received yet. So
Daphne's request does it. A large body needs a session and an address that takes one,
which is known from the headers; a body without a length is counted. Twisted's own
parsing of forms, on the event loop and before any check, is off: Django parses them.
A large body is in memory while it is handed over, so a user sends few at once.

A refused body is answered at once, and what still comes of it is dropped for a moment,
since a client that is cut off while it sends may not read the answer.
"""

import asyncio
import time
from collections import Counter
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import unquote

from channels.db import database_sync_to_async
from daphne.http_protocol import WebRequest
from django.conf import settings
from django.contrib.auth.models import User
from django.urls import Resolver404, resolve

from orchestration.errors import TestbedError
from testbed.access.sessions import user_of_session
from testbed.access.tokens import TokenInvalid, token_in, user_of_token
from testbed.api.problems import ADDRESS, CONTENT_TYPE, problem_answer
from testbed.testbeds.uploads import MAX_BYTES

MIB = 1024 * 1024
ANONYMOUS_BYTES = MIB
SIGNED_IN_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
# Above the limit of an upload's files, so that the form can report it.
UPLOAD_BYTES = MAX_BYTES + 6 * MIB
UPLOADS = {
    "testbed-new",
    "testbed-upload",
    "file",
    "archive",
    "new-archive",
    "upload",
}
# The same address with the testbed's name or key alone, as programs write it.
UPLOAD_BY_WORD = ("testbed-word-part", "files/")
# A body may take a minute, and longer at this rate. Twisted ends silent connections.
GRACE_S = 60
BYTES_PER_S = 16 * 1024
LINGER_S = 30
LARGE_AT_ONCE = 2


class BoundedRequest(WebRequest):
    """A request of Daphne's that refuses a body by its size, its sender and its rate."""

    # The large bodies of each user that are received or served, by the user's key.
    _large: ClassVar[Counter[int]] = Counter()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parsePOSTFormSubmission = False
        self._limit = ANONYMOUS_BYTES
        self._received = 0
        self._is_refused = False
        self._sender: int | None = None
        self._began = time.monotonic()

    def gotLength(self, length: int | None) -> None:  # noqa: N802 (Twisted's name)
        """Check the announced length, once the headers were received."""
        super().gotLength(length)
        self._require(length or 0)

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 (Twisted's name)
        """Keep a part of the body, unless it was refused."""
        self._received += len(data)
        if not self._is_refused:
            self._require(self._received)
        if not self._is_refused:
            super().handleContentChunk(data)

    def requestReceived(  # noqa: N802 (Twisted's name)
        self, command: bytes, path: bytes, version: bytes
    ) -> None:
        """Serve the request; the end of a refused one ends the connection."""
        if self._is_refused:
            self._hang_up()
        else:
            super().requestReceived(command, path, version)

    def finish(self) -> None:
        """End the response."""
        self._release()
        super().finish()

    def connectionLost(self, reason: Any) -> None:  # noqa: N802 (Twisted's name)
        """End a request whose client left."""
        self._release()
        super().connectionLost(reason)

    def _require(self, size: int) -> None:
        if size > self._limit:
            self._raise_limit(size)
        elif time.monotonic() - self._began > GRACE_S + self._received / BYTES_PER_S:
            self._refuse(
                HTTPStatus.REQUEST_TIMEOUT,
                "The request came too slowly. Send it again over a faster connection.",
            )

    def _raise_limit(self, size: int) -> None:
        """Refuse the body, or receive nothing more until its session was looked up."""
        limit = _limit_for(self.channel._path)
        cookie = self.received_cookies.get(settings.SESSION_COOKIE_NAME.encode(), b"")
        header = self.requestHeaders.getRawHeaders(b"authorization", [b""])[0]
        token = token_in(_text(header)) if self._is_api else None
        if size > limit or not (token or cookie):
            self._refuse_size()
            return
        self._limit = limit
        self.channel._networkProducer.pauseProducing()
        admission = self._admit(_text(cookie), token)
        task = asyncio.get_running_loop().create_task(admission)
        self._admission = task  # the loop itself keeps no task alive

    @property
    def _is_api(self) -> bool:
        path: bytes = self.channel._path
        return path.startswith(ADDRESS.encode())

    async def _admit(self, cookie: str, token: str | None) -> None:
        user = await database_sync_to_async(_sender_of)(cookie, token)
        if self.channel is None:  # the client left meanwhile
            return
        if user is None:
            self._refuse_size()
        elif self._large[user.pk] >= LARGE_AT_ONCE:
            self._refuse(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"You are sending {LARGE_AT_ONCE} large requests already. Wait until "
                "one is over.",
            )
        else:
            self._sender = user.pk
            self._large[user.pk] += 1
        self.channel._networkProducer.resumeProducing()

    def _release(self) -> None:
        if self._sender is not None:
            self._large[self._sender] -= 1
            self._sender = None

    def _refuse_size(self) -> None:
        self._refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The request is too large: at most {UPLOAD_BYTES // MIB} MiB where files "
            f"are uploaded, {SIGNED_IN_BYTES // MIB} MiB elsewhere, and "
            f"{ANONYMOUS_BYTES // MIB} MiB without a session or token. Sign in, or send less.",
        )

    def _refuse(self, status: HTTPStatus, words: str) -> None:
        self._is_refused = True
        self.requestHeaders.removeHeader(b"Expect")
        body, kind = f"{words}\n", "text/plain; charset=utf-8"
        if self._is_api:
            body, kind = _problem(status, words), CONTENT_TYPE
        head = (
            f"HTTP/1.1 {status} {status.phrase}",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        self.channel.transport.write("\r\n".join((*head, "", body)).encode())
        asyncio.get_running_loop().call_later(LINGER_S, self._hang_up)

    def _hang_up(self) -> None:
        if self.channel is not None:
            self.channel.loseConnection()


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace")


def _sender_of(cookie: str, token: str | None) -> User | None:
    """Return the user of a token or, without one, of a session."""
    if token is None:
        return user_of_session(cookie)
    try:
        return user_of_token(token)
    except TokenInvalid:
        return None


def _problem(status: HTTPStatus, words: str) -> str:
    """Return problem details: the first sentence, and the rest as the hint."""
    sentence, _, hint = words.partition(". ")
    problem = TestbedError(f"{sentence.rstrip('.')}.", hint=hint)
    return problem_answer(problem, status).content.decode()


def _limit_for(address: bytes) -> int:
    """Return how many bytes a user may send to an address."""
    path = unquote(address.partition(b"?")[0].decode("ascii", "replace"))
    try:
        found = resolve(path)
    except Resolver404:
        return ANONYMOUS_BYTES
    by_word = (found.url_name, found.kwargs.get("rest"))
    is_upload = found.url_name in UPLOADS or by_word == UPLOAD_BY_WORD
    return UPLOAD_BYTES if is_upload else SIGNED_IN_BYTES
