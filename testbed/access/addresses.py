"""The addresses of testbeds: `alice/quickstart`, the owner's account and the name.

In a path all but plain characters of an account are written as `~` and two hexadecimal
digits for each byte, and so are accounts that are `.`, `..` or `new`: browsers resolve
the former, also as `%2E`, and the last is a page. No name of a user has a `~`.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple, Protocol, runtime_checkable

from django.contrib.auth.models import User
from django.db.models import Q
from django.urls import register_converter

from orchestration.errors import TestbedError
from testbed.models import FormerName, Testbed
from testbed.models.listing.names import PARTS
from testbed.models.testbeds import TestbedQuerySet

NEW = "new"
MOST_NAMED = 20
_NAME = rf"(?!(?:{'|'.join(sorted(PARTS))})/)[a-zA-Z0-9_-]{{1,40}}"
_PLAIN = re.compile(r"[^A-Za-z0-9_.@+-]")
_WRITTEN = re.compile(r"~([0-9A-F]{2})")


@runtime_checkable
class Named(Protocol):
    """A testbed, or what a page shows of one."""

    @property
    def account(self) -> str:
        """The owner's name."""

    @property
    def name(self) -> str:
        """The testbed's name there."""


class Address(NamedTuple):
    """A testbed's account, as people write it, and its name there."""

    account: str
    name: str

    def __str__(self) -> str:
        return f"{self.account}/{self.name}"

    @property
    def place(self) -> Q:
        """The condition that a testbed is there now."""
        return Q(name=self.name, owner__username=self.account)


class SeveralTestbeds(TestbedError):
    """A name alone stands for several testbeds that a user sees."""


class AddressConverter:
    """Reads and writes the two parts of a path that name a testbed."""

    regex = rf"[A-Za-z0-9_.@+~-]+/{_NAME}"

    def to_python(self, value: str) -> Address:
        """Return the address. Raises: ValueError (it would be written otherwise)."""
        written, _, name = value.partition("/")
        found = Address(decoded(written), name)
        if encoded(found.account) != written:
            raise ValueError(value)
        return found

    def to_url(self, value: Named) -> str:
        """Return the two parts of the path. Raises: ValueError (it has no name)."""
        if not isinstance(value, Named):
            raise ValueError(value)
        return f"{encoded(value.account)}/{value.name}"


class PartConverter:
    """Reads the rest of a path below a testbed, behind a name without an account."""

    regex = rf"(?:(?:{'|'.join(sorted(PARTS))})/.*|[a-z]+\.zip)"

    def to_python(self, value: str) -> str:
        """Return the rest."""
        return value

    def to_url(self, value: str) -> str:
        """Return the rest."""
        return value


register_converter(AddressConverter, "testbed")
register_converter(PartConverter, "part")


def encoded(account: str) -> str:
    """Return an account as a part of a path."""
    found = _PLAIN.sub(lambda sign: _escaped(sign[0]), account)
    if not found.strip(".") or found == NEW:  # these parts mean something else
        return _escaped(found)
    return found


def decoded(part: str) -> str:
    """Return the account. Raises: ValueError."""
    raw = bytearray()
    for index, piece in enumerate(_WRITTEN.split(part)):
        raw += bytes([int(piece, 16)]) if index % 2 else piece.encode()
    return raw.decode()


def find(visible: TestbedQuerySet, address: Address) -> Testbed | None:
    """Return the testbed at an address, if it is among these."""
    return _with_accounts(visible).filter(address.place).first()


def find_moved(visible: TestbedQuerySet, address: Address) -> Testbed | None:
    """Return the testbed that was at an address last, if it is among these."""
    former = FormerName.objects.filter(address.place, testbed__in=visible.values("pk"))
    pk = former.values_list("testbed", flat=True).first()
    return _with_accounts(visible).filter(pk=pk).first() if pk else None


def find_by_word(visible: TestbedQuerySet, word: str, user: User) -> Testbed | None:
    """Return the testbed that a name or a key alone stands for, if there is one.

    The user's own of this name, else the one with this key, else the only one of this
    name. Raises: SeveralTestbeds.
    """
    found = list(_with_accounts(visible).filter(Q(name=word) | Q(slug=word)))
    return _meant(found, word, user)


def find_by_words(
    visible: TestbedQuerySet, words: Collection[str], user: User
) -> dict[str, Testbed]:
    """Return the testbed of each name, key or full name that stands for one (one query).

    A name that stands for several is left out.
    """
    names = {word.rpartition("/")[2] for word in words}
    either = Q(name__in=names) | Q(slug__in=names)
    rows = list(_with_accounts(visible).filter(either))
    found = {row.full_name: row.seen_by(user) for row in rows}
    for word in set(words) - found.keys():
        with suppress(SeveralTestbeds):
            if one := _meant([r for r in rows if word in (r.name, r.slug)], word, user):
                found[word] = one
    return found


def _meant(found: list[Testbed], word: str, user: User) -> Testbed | None:
    """Choose among those of a name or a key. Raises: SeveralTestbeds."""
    named = [testbed for testbed in found if testbed.name == word]
    own = [testbed for testbed in named if testbed.owner_id == user.pk]
    keyed = [testbed for testbed in found if testbed.slug == word]
    for group in (own, keyed, named):
        if len(group) == 1:
            return group[0]
        if group:
            names = ", ".join(sorted(one.full_name for one in group)[:MOST_NAMED])
            raise SeveralTestbeds(
                f"{word} is the name of several testbeds: {names}.",
                hint="Write the name with its account.",
            )
    return None


def _with_accounts(testbeds: TestbedQuerySet) -> TestbedQuerySet:
    found = testbeds.select_related("owner", "charged_group", "expiry", "source")
    # Of a thousand guests each is as long as the rest of a page.
    return found.defer("source__manifest", "started")


def _escaped(text: str) -> str:
    return "".join(f"~{byte:02X}" for byte in text.encode())
