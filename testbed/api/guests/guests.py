"""Guests as planned and as last observed, and the check of one."""

from datetime import datetime
from typing import Any

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.visibility import Request, visible_runs
from testbed.api.keyed import KEYED
from testbed.api.paging import Paging
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.runs import Started, started
from testbed.pages.guests.page import find_guest, guest_page
from testbed.pages.overview import GuestRow, SelectedGuests, state_of
from testbed.runs.starting import start_check
from testbed.testbeds.capacity import Lab

router = Router(tags=["guests"])


class Address(BaseModel):
    """An interface with its bridge and the address that the state gives it."""

    interface: str
    bridge: str
    mac: str
    address: str


class GuestShape(BaseModel):
    """A guest; `observed_at` is the time of the look that saw its status."""

    guest: str
    host: str
    status: str
    by_request: bool
    observed_at: datetime | None
    cpu_percent: float | None
    management_address: str
    addresses: list[Address]


class GuestList(BaseModel):
    """A page of guests; `count` is of all pages."""

    items: list[GuestShape]
    count: int


@router.get("/testbeds/{account}/{name}/guests", response=GuestList)
def list_guests(
    request: Request, account: str, name: str, paging: Query[Paging], on: str = ""
) -> dict[str, object]:
    """List the guests, all or those of a selection, as last observed."""
    testbed = testbed_of(request, account, name, Act.SEE)
    rows = SelectedGuests(testbed, state_of(testbed)[0], on)
    begin = (paging.page - 1) * paging.per_page
    shown = rows[begin : begin + paging.per_page]
    return {"items": [_shape(row) for row in shown], "count": len(rows)}


@router.get("/testbeds/{account}/{name}/guests/{guest}", response=dict[str, Any])
def read_guest(
    request: Request, account: str, name: str, guest: str
) -> dict[str, object]:
    """Show one guest with what its last check read; docs/protocol.md has the keys."""
    testbed = testbed_of(request, account, name, Act.SEE)
    page = guest_page(testbed, guest, visible_runs(request, testbed), Lab())
    if page is None:
        raise Missing(f"Testbed {testbed} has no guest {guest!r}.")
    return page.to_json()


@router.post(
    "/testbeds/{account}/{name}/guests/{guest}/check",
    response={202: Started},
    openapi_extra=KEYED,
)
def check_guest(request: Request, account: str, name: str, guest: str) -> HttpResponse:
    """Check a guest; a check of it that goes on is answered again."""
    testbed = testbed_of(request, account, name, Act.CHECK)
    if find_guest(testbed, guest) is None:
        raise Missing(f"Testbed {testbed} has no guest {guest!r}.")
    return started(request, lambda: start_check(testbed, request.user, guest))


def _shape(row: GuestRow) -> dict[str, object]:
    guest, seen = row.guest, row.observed
    return {
        "guest": guest.name,
        "host": guest.host,
        "status": row.status,
        "by_request": row.is_requested,
        "observed_at": seen.observed_at if seen else None,
        "cpu_percent": row.load,
        "management_address": row.management_address,
        "addresses": [
            {
                "interface": one.name,
                "bridge": one.bridge,
                "mac": one.mac,
                "address": one.address or "",
            }
            for one in guest.interfaces
        ],
    }
