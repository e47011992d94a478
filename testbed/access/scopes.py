"""The scopes of API tokens, and the user of a request that a token limits to some.

A token's user is the row of the user with the scopes beside it: `permissions.py` asks
for them wherever it asks for the role. A user of a session has none and is not limited.
"""

from collections.abc import Iterable
from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser

Scopes = frozenset["Scope"]
_ATTRIBUTE = "_scopes_of_token"


class Scope(StrEnum):
    """One part of what users may do; `permissions.SCOPES` has the acts of each."""

    READ = "read"
    RUN = "run"
    EDIT = "edit"
    MANAGE = "manage"
    ADMIN = "admin"

    @property
    def about(self) -> str:
        """Return what it allows, in words."""
        return _ABOUT[self]


_ABOUT = {
    Scope.READ: "see testbeds, guests, runs and hosts; every token has it",
    Scope.RUN: "start, drive and cancel runs, use guests, read artefacts",
    Scope.EDIT: "make testbeds, change their files, snapshots and images",
    Scope.MANAGE: "rename, share, protect, extend and delete testbeds, delete disks",
    Scope.ADMIN: "administer the lab, where the user may",
}


def limit(user: AbstractBaseUser, scopes: Iterable[Scope]) -> None:
    """Let this row of a user do no more than scopes allow."""
    setattr(user, _ATTRIBUTE, frozenset(scopes))


def scopes_of(user: AbstractBaseUser) -> Scopes | None:
    """Return the scopes that limit a user; None for a user without a token."""
    found: Scopes | None = getattr(user, _ATTRIBUTE, None)
    return found


def in_order(scopes: Iterable[Scope]) -> list[Scope]:
    """Return scopes in their own order, each once."""
    wanted = set(scopes)
    return [scope for scope in Scope if scope in wanted]
