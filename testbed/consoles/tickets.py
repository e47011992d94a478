"""Tickets for consoles: made by the web after it asked for the permission.

A ticket is signed with the installation's key, which the gateway has as well, and names
user, session or API token, guest and what they may do. It is good for half a minute and for one
opening: `Redemption` is the gateway's memory of those that were used.
"""

import secrets
import time
from enum import StrEnum

from django.contrib.auth.models import User
from django.core import signing
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestration.errors import TestbedError
from testbed.access.permissions import Act, require
from testbed.access.sessions import hashed
from testbed.models import Testbed

DURATION_S = 30
SALT = "testbed.consoles"


class TicketRefused(TestbedError):
    """A ticket is no ticket, too old, or was used before."""

    def __init__(self) -> None:
        super().__init__("The ticket for this console is not good any more.")


class Mode(StrEnum):
    """The kinds of consoles."""

    SERIAL = "serial"
    SHELL = "shell"
    SCREEN = "screen"


class Ticket(BaseModel):
    """One opening of a console; `session` is the hash of its key, or of the API token."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_id: int
    user: str
    session: str
    testbed_id: int
    testbed: str
    testbed_number: int
    guest: str
    mode: Mode
    may_type: bool
    number: str = Field(default_factory=lambda: secrets.token_hex(16))
    issued_at: float = Field(default_factory=time.time)

    @property
    def act(self) -> Act:
        """The act that its user has to be allowed, also while the console is open."""
        return Act.CONSOLE if self.may_type else Act.WATCH_CONSOLE

    @property
    def may_send(self) -> bool:
        """Whether its page's bytes reach the gateway.

        A reader of a screen has to ask for pictures; the gateway drops keys.
        """
        return self.may_type or self.mode is Mode.SCREEN

    def __str__(self) -> str:
        how = "" if self.may_type else ", read only"
        kind = "screen" if self.mode is Mode.SCREEN else f"{self.mode} console"
        return f"{kind} of {self.guest}{how}"


def ticket_for(
    user: User, testbed: Testbed, guest: str, mode: Mode, *, typing: bool, key: str
) -> str:
    """Return a user's ticket to a guest's console; a shell is always typed into.

    `key` is that of the user's session, or the API token. Raises: PermissionDenied.
    """
    may_type = typing or mode is Mode.SHELL
    if may_type:
        require(user, Act.CONSOLE, testbed)
    wanted = Ticket(
        user_id=user.pk,
        user=user.get_username(),
        session=hashed(key),
        testbed_id=testbed.pk,
        testbed=testbed.slug,
        testbed_number=testbed.number,
        guest=guest,
        mode=mode,
        may_type=may_type,
    )
    return issue(wanted)


def issue(ticket: Ticket) -> str:
    """Return the text of a ticket, which its page hands in."""
    return signing.dumps(ticket.model_dump(mode="json"), salt=SALT)


def read(text: str) -> Ticket:
    """Return the ticket that a text is. Raises: TicketRefused."""
    try:
        found = signing.loads(text, salt=SALT, max_age=DURATION_S)
        return Ticket.model_validate(found)
    except (signing.BadSignature, ValidationError) as exc:
        raise TicketRefused from exc


class Redemption:
    """Takes each ticket once.

    One from before the start may have been used then: it is refused. When the clock is
    set back to before the start, as at a boot, tickets of that time are as good as others.
    """

    def __init__(self) -> None:
        self._began_at = time.time()
        self._used: dict[str, float] = {}

    def take(self, text: str) -> Ticket:
        """Return the ticket that a text is, once. Raises: TicketRefused."""
        ticket, now = read(text), time.time()
        self._used = {n: at for n, at in self._used.items() if now - at <= DURATION_S}
        self._began_at = min(self._began_at, now)
        is_old = ticket.issued_at <= self._began_at
        if is_old or ticket.number in self._used:
            raise TicketRefused
        # signing counts whole seconds: a ticket is good for less than one more.
        self._used[ticket.number] = now + 1
        return ticket
