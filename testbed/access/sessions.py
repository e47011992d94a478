"""Sessions in the database, and the user of one where there is no request of Django's.

The database holds a hash of each session's key: a copy of it, such as a backup, signs
nobody in. Signed cookies would do without rows, but a session could not be ended then,
and open websockets look at their session's row. The hash needs no secret and no
stretching: a key has 165 random bits.

allauth.usersessions would list a user's sessions from a table that has their keys as
they are, so the rows here know their users themselves, and their data holds when and
from where each was signed in. A row that is deleted ends its session and its sockets.

A session ends when it was not used for SESSION_COOKIE_AGE. Its row is written again
after a hundredth of that time, not at each request of a page that stays open.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.contrib.sessions.base_session import AbstractBaseSession
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from testbed.access.origin import address_of
from testbed.access.record import write
from testbed.access.second_factor import lacks_second_factor
from testbed.models import WebSession
from testbed.models.record.entries import SIGN_OUT

RENEW_AFTER = 0.01
# The column's length: 160 bits.
HASH_DIGITS = 40
# In a session's data: when, from where and with what its user signed in.
ORIGIN = "signed_in"
MOST_AGENT = 300
# A visitor who is not signed in needs a session for one form after a link.
VISIT = timedelta(hours=1)
# The first one that a browser's own description holds: some name others, too.
BROWSERS = {
    "Edg/": "Edge",
    "OPR/": "Opera",
    "Firefox/": "Firefox",
    "Chrome/": "Chrome",
    "Safari/": "Safari",
    "python-httpx": "the client",
    "curl/": "curl",
}
SYSTEMS = {
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Linux": "Linux",
}


class SessionStore(DatabaseSessionStore):
    """Keeps sessions under the hashes of their keys."""

    def exists(self, session_key: str) -> bool:
        """Return whether the key is used."""
        return super().exists(hashed(session_key))

    async def aexists(self, session_key: str) -> bool:
        """Return whether the key is used."""
        return await super().aexists(hashed(session_key))

    @classmethod
    def get_model_class(cls) -> type[WebSession]:
        """Return the class of the rows."""
        return WebSession

    def create_model_instance(self, data: dict[str, Any]) -> WebSession:
        """Build the row."""
        return _of_user(super().create_model_instance(data), data)

    async def acreate_model_instance(self, data: dict[str, Any]) -> WebSession:
        """Build the row."""
        return _of_user(await super().acreate_model_instance(data), data)

    def delete(self, session_key: str | None = None) -> None:
        """End the session."""
        if key := session_key or self.session_key:
            super().delete(hashed(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """End the session."""
        if key := session_key or self.session_key:
            await super().adelete(hashed(key))

    def _get_session_from_db(self) -> WebSession | None:
        now = timezone.now()
        rows = self.model.objects.filter(expire_date__gt=now)
        row = rows.filter(session_key=hashed(self.session_key or "")).first()
        if not isinstance(row, WebSession):
            self._session_key = None
            return None
        left_s = (row.expire_date - now).total_seconds()
        is_old = left_s < settings.SESSION_COOKIE_AGE * (1 - RENEW_AFTER)
        if row.user_id is not None and is_old:
            self.modified = True  # the middleware saves it, with a later end
        return row

    async def _aget_session_from_db(self) -> WebSession | None:
        return await sync_to_async(self._get_session_from_db)()


def hashed(key: str) -> str:
    """Return what the database holds of a session's key."""
    return sha256(key.encode()).hexdigest()[:HASH_DIGITS]


def user_of_session(key: str | None) -> User | None:
    """Return the user who is signed in by this session and may sign in now."""
    request = HttpRequest()
    request.session = SessionStore(key)
    user = get_user(request)
    if not isinstance(user, User) or not user.is_active or lacks_second_factor(user):
        return None
    return user


@dataclass(frozen=True, slots=True)
class SignedIn:
    """One session of a user. `handle` names it, and opens nothing.

    `used_at` is exact to `RENEW_AFTER` of the time without use.
    """

    handle: str
    address: str
    program: str
    signed_in_at: datetime | None
    used_at: datetime
    is_this: bool


def sessions_of(user: User, key: str | None) -> list[SignedIn]:
    """Return a user's sessions that go on, the one of this key first."""
    rows = WebSession.objects.filter(user=user, expire_date__gt=timezone.now())
    found = [(row, SessionStore().decode(row.session_data)) for row in rows]
    valid = user.get_session_auth_hash()
    listed = [
        _signed_in(row, data, key)
        for row, data in found
        if constant_time_compare(data.get(HASH_SESSION_KEY, ""), valid)
    ]
    return sorted(listed, key=lambda one: (not one.is_this, -one.used_at.timestamp()))


def end_session(user: User, handle: str) -> bool:
    """End one session of a user; return whether there was one."""
    handle = handle.replace("\0", "")[:HASH_DIGITS]
    count, _ = WebSession.objects.filter(user=user, session_key=handle).delete()
    if count:
        write(user, SIGN_OUT, "ended another session")
    return bool(count)


def end_other_sessions(user: User, key: str | None) -> int:
    """End a user's sessions but that of this key; return how many there were."""
    rows = WebSession.objects.filter(user=user).exclude(session_key=hashed(key or ""))
    count, _ = rows.delete()
    if count:
        write(user, SIGN_OUT, f"ended all other sessions ({count})")
    return count


@receiver(user_logged_in)
def note_origin(
    sender: object, request: HttpRequest, user: User, **more: object
) -> None:
    """Keep in a new session when, from where and with what its user signed in."""
    request.session[ORIGIN] = {
        "at": timezone.now().isoformat(),
        "address": address_of(request),
        "program": program_of(request.headers.get("User-Agent", "")),
    }


def program_of(agent: str) -> str:
    """Return a browser and its system in two words, or how it describes itself."""
    agent = agent[:MOST_AGENT]
    browser = next((name for mark, name in BROWSERS.items() if mark in agent), "")
    system = next((name for mark, name in SYSTEMS.items() if mark in agent), "")
    return f"{browser} on {system}" if browser and system else browser or agent[:60]


def _of_user(row: AbstractBaseSession, data: dict[str, Any]) -> WebSession:
    if not isinstance(row, WebSession):
        raise TypeError("The rows of sessions are of one class.")
    row.session_key = hashed(row.session_key)
    row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
    if row.user_id is None:
        row.expire_date = min(row.expire_date, timezone.now() + VISIT)
    return row


def _signed_in(row: WebSession, data: dict[str, Any], key: str | None) -> SignedIn:
    origin = data.get(ORIGIN, {})
    at = origin.get("at")
    return SignedIn(
        handle=row.session_key,
        address=origin.get("address", ""),
        program=origin.get("program", ""),
        signed_in_at=datetime.fromisoformat(at) if at else None,
        used_at=row.expire_date - timedelta(seconds=settings.SESSION_COOKIE_AGE),
        is_this=row.session_key == hashed(key or ""),
    )
