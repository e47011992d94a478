"""Links that begin an account: each once, until its end.

A row holds the hash of its link's token alone. `testbed/accounts/invitations.py` makes
and uses them.
"""

import secrets
from datetime import datetime, timedelta
from hashlib import sha256

from django.db import models
from django.utils import timezone

LASTS = timedelta(days=7)
TOKEN_BYTES = 32


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Makes, finds and uses invitations."""

    def make(
        self, email: str, made_by: str, *, makes_admin: bool = False
    ) -> tuple["Invitation", str]:
        """Add an invitation; return it with its token, which nothing else knows."""
        token, now = secrets.token_urlsafe(TOKEN_BYTES), timezone.now()
        row = self.create(
            token_hash=hashed(token),
            email=email,
            made_by=made_by,
            makes_admin=makes_admin,
            made_at=now,
            ends_at=now + LASTS,
        )
        return row, token

    def open(self) -> "InvitationQuerySet":
        """Return those that may be used."""
        return self.filter(used_at=None, ends_at__gt=timezone.now())

    def of_token(self, token: str) -> "Invitation | None":
        """Return the open invitation of a token."""
        return self.open().filter(token_hash=hashed(token)).first()

    def use(self, pk: int, account: str) -> bool:
        """Use an invitation up; return whether it was open until now."""
        used = self.open().filter(pk=pk)
        return bool(used.update(used_at=timezone.now(), account=account))

    def forget_before(self, limit: datetime) -> int:
        """Remove those that ended before a time; return how many."""
        return self.filter(ends_at__lt=limit).delete()[0]


class Invitation(models.Model):
    """One link. `email` becomes the account's address; the first admin's has none.

    `made_by` is the lab admin's account; empty: the user registered, or the server made
    the link for its first admin. `account` is the one that was made with it.
    """

    token_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField(blank=True)
    makes_admin = models.BooleanField(default=False)
    made_by = models.CharField(max_length=150, blank=True)
    made_at = models.DateTimeField()
    ends_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True)
    account = models.CharField(max_length=150, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-made_at", "-pk")

    def __str__(self) -> str:
        return f"invitation of {self.email or 'the first admin'}"

    @property
    def is_open(self) -> bool:
        """Return whether it may be used."""
        return self.used_at is None and self.ends_at > timezone.now()


def hashed(token: str) -> str:
    """Return what the database holds of a token; it has 256 random bits."""
    return sha256(token.encode()).hexdigest()
