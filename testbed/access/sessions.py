"""Sessions in the database, and the user of one where there is no request of Django's.

The database holds a hash of each session's key: a copy of it, such as a backup, signs
nobody in. Signed cookies would do without rows, but a session could not be ended then,
and open websockets look at their session's row. The hash needs no secret and no
stretching: a key has 165 random bits.

A session ends when it was not used for SESSION_COOKIE_AGE. Its row is written again
after a tenth of that time, not at each request of a page that stays open.
"""

from hashlib import sha256
from typing import TYPE_CHECKING

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessionStore
from django.http import HttpRequest
from django.utils import timezone

if TYPE_CHECKING:
    from django.contrib.sessions.base_session import AbstractBaseSession

RENEW_AFTER = 0.1
# The column's length: 160 bits.
HASH_DIGITS = 40


class SessionStore(DatabaseSessionStore):
    """Keeps sessions under the hashes of their keys."""

    def exists(self, session_key: str) -> bool:
        """Return whether the key is used."""
        return super().exists(hashed(session_key))

    async def aexists(self, session_key: str) -> bool:
        """Return whether the key is used."""
        return await super().aexists(hashed(session_key))

    def create_model_instance(self, data: dict[str, object]) -> "AbstractBaseSession":
        """Build the row."""
        row = super().create_model_instance(data)
        row.session_key = hashed(row.session_key)
        return row

    async def acreate_model_instance(
        self, data: dict[str, object]
    ) -> "AbstractBaseSession":
        """Build the row."""
        row = await super().acreate_model_instance(data)
        row.session_key = hashed(row.session_key)
        return row

    def delete(self, session_key: str | None = None) -> None:
        """End the session."""
        if key := session_key or self.session_key:
            super().delete(hashed(key))

    async def adelete(self, session_key: str | None = None) -> None:
        """End the session."""
        if key := session_key or self.session_key:
            await super().adelete(hashed(key))

    def _get_session_from_db(self) -> "AbstractBaseSession | None":
        now = timezone.now()
        rows = self.model.objects.filter(expire_date__gt=now)
        row = rows.filter(session_key=hashed(self.session_key or "")).first()
        if row is None:
            self._session_key = None
            return None
        left_s = (row.expire_date - now).total_seconds()
        if left_s < settings.SESSION_COOKIE_AGE * (1 - RENEW_AFTER):
            self.modified = True  # the middleware saves it, with a later end
        return row

    async def _aget_session_from_db(self) -> "AbstractBaseSession | None":
        return await sync_to_async(self._get_session_from_db)()


def hashed(key: str) -> str:
    """Return what the database holds of a session's key."""
    return sha256(key.encode()).hexdigest()[:HASH_DIGITS]


def user_of_session(key: str | None) -> User | None:
    """Return the user who is signed in by this session and may sign in now."""
    request = HttpRequest()
    request.session = SessionStore(key)
    user = get_user(request)
    return user if isinstance(user, User) and user.is_active else None
