"""API tokens: made, shown once, found again by their hash, revoked and forgotten.

A token is 256 random bits: its hash needs no secret and no stretching, and is looked up
by an index, so that the time of an answer says nothing about tokens. The record gets the
first characters of a token, never all of it.
"""

import secrets
from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.access.record import write
from testbed.access.scopes import Scope, in_order, limit
from testbed.access.second_factor import lacks_second_factor
from testbed.models import ApiToken
from testbed.models.record.entries import TOKENS

BEGIN = "tb_"
BEARER = "bearer"
MOST_TOKENS = 50
MOST_NAME = 60
# What is longer is no token, and is not hashed.
MOST_LENGTH = 200
SHOWN = 10
# The time of the last use is exact to this.
NOTED_AGAIN_AFTER = timedelta(minutes=1)
# Expired tokens are listed for so long.
KEPT = timedelta(days=30)


class TokenRefused(TestbedError):
    """A token cannot be made so; nothing was made."""


class TokenInvalid(TestbedError):
    """A request's token signs no user in."""


def make_token(
    user: User, name: str, scopes: Iterable[str], days: int
) -> tuple[ApiToken, str]:
    """Make a token; return its row, and its text, which is kept nowhere.

    Raises: TokenRefused (name, scopes, days, or too many tokens).
    """
    name, chosen = _named(name), _chosen(scopes)
    most = settings.TOKEN_MOST_DAYS
    if not 1 <= days <= most:
        raise TokenRefused(
            f"A token lasts 1 to {most} days.", hint="Choose another number."
        )
    text = BEGIN + secrets.token_urlsafe(32)
    with transaction.atomic():
        # A lock on the user's row: two requests do not pass the limit together.
        User.objects.select_for_update().get(pk=user.pk)
        if ApiToken.objects.filter(user=user).count() >= MOST_TOKENS:
            raise TokenRefused(
                f"You have {MOST_TOKENS} tokens.",
                hint="Revoke one that you do not use.",
            )
        row = ApiToken.objects.create(
            user=user,
            name=name,
            digest=_digest(text),
            prefix=text[:SHOWN],
            scopes=" ".join(chosen),
            expires_at=timezone.now() + timedelta(days=days),
        )
        _record(row, f"made {row.prefix}… with {row.scopes} for {days} days")
    return row, text


def revoke_token(row: ApiToken) -> None:
    """End a token at once."""
    with transaction.atomic():
        row.delete()
        _record(row, f"revoked {row.prefix}…")


def token_in(header: str) -> str | None:
    """Return the token of an `Authorization` header; None without one."""
    scheme, _, text = header.partition(" ")
    return text.strip() if scheme.lower() == BEARER else None


def user_of_token(text: str) -> User:
    """Return a token's user, limited to its scopes. Raises: TokenInvalid."""
    return found_token(text).user


def found_token(text: str) -> ApiToken:
    """Return a token with its user, limited to its scopes. Raises: TokenInvalid."""
    row = None
    if text.startswith(BEGIN) and len(text) <= MOST_LENGTH:
        rows = ApiToken.objects.select_related("user")
        row = rows.filter(digest=_digest(text)).first()
    if row is None:
        raise TokenInvalid(
            "This API token does not exist, or was revoked.",
            hint="Make one under API tokens, in the menu under your name.",
        )
    if row.is_expired:
        raise TokenInvalid(
            f"This API token expired on {row.expires_at:%Y-%m-%d}.",
            hint="Make a new one under API tokens, in the menu under your name.",
        )
    user: User = row.user
    if not user.is_active:
        raise TokenInvalid(
            "The account of this API token is deactivated.", hint="Ask a lab admin."
        )
    if lacks_second_factor(user):
        raise TokenInvalid(
            "A lab admin needs a second factor here, and this account has none.",
            hint="Set one up on the page of your account.",
        )
    _note_use(row)
    limit(user, map(Scope, row.scopes.split()))
    return row


def forget_old_tokens() -> int:
    """Remove tokens that expired long ago; return how many."""
    old = ApiToken.objects.filter(expires_at__lt=timezone.now() - KEPT)
    return old.delete()[0]


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
        raise TokenRefused(
            f"A name has 1 to {MOST_NAME} visible characters.",
            hint="Write what the token is for.",
        )
    return name


def _chosen(scopes: Iterable[str]) -> list[Scope]:
    """Return the scopes with `read`, which every token has. Raises: TokenRefused."""
    wanted = {*scopes, Scope.READ.value}
    if unknown := sorted(wanted - set(Scope)):
        raise TokenRefused(
            f"There is no scope {unknown[0][:MOST_NAME]!r}.",
            hint=f"Use {', '.join(Scope)}.",
        )
    return in_order(map(Scope, wanted))


def _digest(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()


def _note_use(row: ApiToken) -> None:
    now = timezone.now()
    if row.used_at is None or now - row.used_at > NOTED_AGAIN_AFTER:
        ApiToken.objects.filter(pk=row.pk).update(used_at=now)


def _record(row: ApiToken, what: str) -> None:
    write(row.user, TOKENS, what, thing=f"API token {row.name}")
