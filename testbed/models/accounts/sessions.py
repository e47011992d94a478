"""Sessions of browsers and programs, each with its user.

`testbed/access/sessions.py` is the engine that reads and writes them.
"""

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class WebSession(AbstractBaseSession):
    """One session; `session_key` is a hash of the key, `user` None before a sign-in.

    The column is what Django's own table lacks: a user's sessions are found without
    reading everybody's.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="web_sessions",
    )

    def __str__(self) -> str:
        return f"session of {self.user_id or 'a visitor'}"
