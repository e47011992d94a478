"""Tickets to guests' consoles, for programs; docs/protocol.md has their websocket."""

from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.tokens import token_in
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.wishes import Wish
from testbed.consoles.tickets import Mode, ticket_for
from testbed.pages.overview import state_of

router = Router(tags=["guests"])


class ConsoleWish(Wish):
    """The kind of console, and whether the program types into it."""

    mode: Mode = Mode.SERIAL
    typing: bool = False


class TicketShape(BaseModel):
    """A ticket, good for half a minute and one opening with the same token."""

    ticket: str


@router.post("/testbeds/{account}/{name}/guests/{guest}/console", response=TicketShape)
def open_console(
    request: Request, account: str, name: str, guest: str, wish: ConsoleWish
) -> dict[str, str]:
    """Give a ticket for `/ws/console/`; a shell is always typed into."""
    testbed = testbed_of(request, account, name, Act.WATCH_CONSOLE)
    state, _ = state_of(testbed)
    if state is None or guest not in {one.name for one in state.guests}:
        raise Missing(f"Testbed {testbed} has no guest {guest!r}.")
    token = token_in(request.headers.get("Authorization", ""))
    key = token or request.session.session_key or ""
    text = ticket_for(
        request.user, testbed, guest, wish.mode, typing=wish.typing, key=key
    )
    return {"ticket": text}
